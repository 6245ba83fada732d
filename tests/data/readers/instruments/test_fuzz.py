"""Damaged files of every format, as tools/fuzz_readers.py makes them."""

from collections import Counter

from tools import fuzz_readers


def test_every_damaged_file_ends_in_a_reading_or_an_error(tmp_path):
    counts = fuzz_readers.run(550, 1, tmp_path / "log")
    assert sum(counts.values(), Counter())["other"] == 0, (tmp_path / "log").read_text("utf-8")
    assert {name: sum(one.values()) for name, one in counts.items()} == dict.fromkeys(
        [form.name for form in fuzz_readers.FORMATS], 50
    )
    # Damage that no reader noticed, and readers that refuse everything, would test nothing.
    assert all(one["documented error"] > 5 for one in counts.values())
    assert sum(one["read"] for one in counts.values()) > 25


def test_what_ends_otherwise_is_reported(tmp_path, monkeypatch):
    def hang(folder):
        while True:
            pass

    def fail(folder):
        raise KeyError("not documented")

    monkeypatch.setattr(fuzz_readers, "SECONDS", 0.2)
    fuzz_readers.signal.signal(
        fuzz_readers.signal.SIGPROF, lambda *_: (_ for _ in ()).throw(fuzz_readers.OvertimeError)
    )
    make = fuzz_readers.MAKERS["CSV"]
    for read, said in ((hang, "more than"), (fail, "KeyError"), (lambda folder: None, "")):
        what, detail = fuzz_readers.outcome(0, 0, [fuzz_readers.Format("x", make, read)])
        assert what == ("read" if not said else "other")
        assert said in detail
