// Makes the page handier: files can be dropped anywhere, too many are told before they are sent, results get the focus.
// Without it the form works as well.
"use strict";

const form = document.querySelector("form");
const files = document.getElementById("files");
const folder = document.getElementById("folder");
const chosen = document.getElementById("chosen");
const button = form.querySelector("button");
const busy = document.getElementById("busy");
const hint = chosen.textContent;

function fits() {
  const all = [...files.files, ...folder.files];
  const bytes = all.reduce((sum, file) => sum + file.size, 0);
  const over = all.length > Number(chosen.dataset.files) || bytes > Number(chosen.dataset.bytes);
  const size = `${all.length} ${all.length === 1 ? "file" : "files"}, ${(bytes / 1048576).toFixed(1)} MiB`;
  const names = all.slice(0, 3).map((file) => file.name).join(", ") + (all.length > 3 ? ", …" : "");
  chosen.textContent = all.length === 0 ? hint : over ? `${size}: too much. Send ${chosen.dataset.limits} at most.` : `${size}: ${names}`;
  button.disabled = over;
  return !over;
}

async function filesIn(entry) {
  if (entry.isFile) {
    return [await new Promise((done, failed) => entry.file(done, failed))];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const part = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (part.length === 0 || found.length > Number(chosen.dataset.files)) return found;
    for (const inner of part) found.push(...(await filesIn(inner)));
  }
}

for (const input of [files, folder]) input.addEventListener("change", fits);

form.addEventListener("submit", (event) => {
  if (!fits()) {
    event.preventDefault();
    return;
  }
  // A disabled button would take its focus with it; the second press is stopped here instead.
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  busy.textContent = "Predicting …";
});

// A page that the browser brings back has been answered.
window.addEventListener("pageshow", () => {
  delete form.dataset.sent;
  busy.textContent = "";
  fits();
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry());
  const plain = [...event.dataTransfer.files];
  const whole = new DataTransfer();
  const found = entries.every(Boolean) ? (await Promise.all(entries.map(filesIn))).flat() : plain;
  for (const file of found) whole.items.add(file);
  files.files = whole.files;
  folder.value = "";
  if (fits() && found.length > 0) form.requestSubmit();
});

(document.getElementById("problem") || document.getElementById("results"))?.focus();

// A link to a sample opens it.
function open() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const around = target && target.closest("details");
  if (around) {
    around.open = true;
    around.querySelector("summary").focus();
  }
}
window.addEventListener("hashchange", open);
