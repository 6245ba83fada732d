
"use strict";
// The page is whole without this script: it sorts tables by a click on a heading, and opens what is folded for printing
// and for links in browsers that do not.
const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  const found = /^[<>\u2248 ]*([-+]?[\d,]*\.?\d+(?:e[-+]?\d+)?)/i.exec(text.replace("\u2212", "-"));
  return [found ? Number(found[1].replaceAll(",", "")) : NaN, text];
};
const compare = ([a, first], [b, second], sign) => {
  // What is no number among numbers (n/a) stays last, whichever way the others are sorted.
  if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
  return sign * (a - b || first.localeCompare(second, "en"));
};
for (const table of document.querySelectorAll(".table table")) {
  const body = table.tBodies[0], before = [...body.rows], heads = table.querySelectorAll("th");
  if (before.length < 3) continue;
  heads.forEach((head, column) => {
    // No <button>: browsers leave it out where a heading is repeated on the next printed page.
    const button = document.createElement("span");
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.title = "Sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      button.click();
    });
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")] ?? "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const keyed = before.map((row) => [row, value(row, column)]);
      if (next !== "none") keyed.sort((a, b) => compare(a[1], b[1], sign));
      body.append(...keyed.map(([row]) => row));
    });
  });
}
const folded = [...document.querySelectorAll("details")];
const follow = () => {
  const inside = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details");
  if (inside) inside.open = true;
};
addEventListener("hashchange", follow);
follow();
let closed = [];
addEventListener("beforeprint", () => {
  closed = folded.filter((one) => !one.open);
  closed.forEach((one) => { one.open = true; });
});
addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));
