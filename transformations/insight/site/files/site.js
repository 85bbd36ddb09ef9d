// Search over INDEX ([kind, name, meaning, file] each), lineage that lights up what a box touches, and copy buttons.
"use strict";

const ROOT = document.body.dataset.root;
const MOST = 30;
const field = document.getElementById("search");
const list = document.getElementById("found");

// Every word must occur; a name that begins with the first word comes before one that holds it, then a meaning.
function rank([kind, name, meaning], words) {
  const [lowName, all] = [name.toLowerCase(), `${kind} ${name} ${meaning}`.toLowerCase()];
  if (!words.every((word) => all.includes(word))) return null;
  const short = lowName.split(/[:.]/).pop();
  if (short === words[0] || lowName === words[0]) return 0;
  if (lowName.startsWith(words[0]) || short.startsWith(words[0])) return 1;
  return words.every((word) => lowName.includes(word)) ? 2 : 3;
}

function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  return INDEX.map((entry, place) => ({ entry, place, rank: rank(entry, words) }))
    .filter((each) => each.rank !== null)
    .sort((one, other) => one.rank - other.rank || one.place - other.place)
    .slice(0, MOST)
    .map((each) => each.entry);
}

function element(tag, text, parent) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent.append(made);
  return made;
}

function show() {
  const found = search(field.value);
  list.replaceChildren();
  list.hidden = !field.value.trim();
  for (const [kind, name, meaning, file] of found) {
    const link = element("a", name, element("li", "", list));
    link.href = ROOT + file;
    element("small", kind, link);
    element("p", meaning, link);
  }
  if (found.length) choose(0);
  else element("li", "Nothing here has that name or meaning.", list).className = "nothing";
}

function choose(step) {
  const links = [...list.querySelectorAll("a")];
  if (!links.length) return;
  const now = links.findIndex((link) => link.classList.contains("chosen"));
  const next = (Math.max(now, 0) + step + links.length) % links.length;
  links.forEach((link, place) => link.classList.toggle("chosen", place === next));
  links[next].scrollIntoView({ block: "nearest" });
}

field.addEventListener("input", show);
field.addEventListener("focus", show);
field.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    choose(event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
  } else if (event.key === "Enter") {
    const chosen = list.querySelector(".chosen");
    if (chosen) location.href = chosen.href;
  } else if (event.key === "Escape") {
    list.hidden = true;
    field.blur();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== field && !event.ctrlKey && !event.metaKey) {
    field.focus();
    event.preventDefault();
  }
});
document.addEventListener("click", (event) => {
  if (!event.target.closest(".search")) list.hidden = true;
});

for (const drawing of document.querySelectorAll(".lineage")) {
  const curves = [...drawing.querySelectorAll(".curve")];
  const boxes = [...drawing.querySelectorAll(".box")];
  for (const box of boxes) {
    const light = (on) => {
      const near = new Set([box.dataset.box]);
      for (const curve of curves) {
        const touches = curve.dataset.from === box.dataset.box || curve.dataset.to === box.dataset.box;
        curve.classList.toggle("near", on && touches);
        if (touches) near.add(curve.dataset.from).add(curve.dataset.to);
      }
      for (const each of boxes) each.classList.toggle("near", on && near.has(each.dataset.box));
      drawing.classList.toggle("picking", on);
    };
    box.addEventListener("mouseenter", () => light(true));
    box.addEventListener("mouseleave", () => light(false));
  }
  // A wide drawing opens where the page's subject is.
  const focus = drawing.querySelector(".focus rect");
  if (focus) drawing.parentElement.scrollLeft = focus.x.baseVal.value - drawing.parentElement.clientWidth / 2 + 100;
}

// Where a browser keeps pages of the file system from the clipboard, the text is selected for the reader to copy.
async function copy(place) {
  try {
    await navigator.clipboard.writeText(place.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(place);
    return document.execCommand("copy");
  }
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    button.textContent = (await copy(button.nextElementSibling)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}
