"""The checker that tests put on every annotated function of the package."""

from beartype import BeartypeConf, beartype

# An int is accepted where a float is announced, as everywhere else in Python's typing.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
