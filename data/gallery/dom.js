"use strict";
// Elements. Text from the data gets into the page as text only, never as HTML.
const at = id => document.getElementById(id);
const number = value => value === null || value === undefined ? "–" : value.toLocaleString("en");
const plain = word => word === null ? "–" : word.replaceAll("_", " ");

/** An element with properties (class, style, text, on…, or attributes) and children. */
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties))
    if (value === null || value === undefined || value === false) continue;
    else if (key === "class") made.className = value;
    else if (key === "style") Object.assign(made.style, value);
    else if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

/** The thumbnail with a number, its longest side `box` pixels; a box that says so where there is none. */
function thumbnail(kind, number, box, alt) {
  const size = {width: `${box}px`, height: `${box}px`};
  if (number === null) return element("div", {class: "thumbnail none", style: size, text: "no picture"});
  const image = element("img", {class: "thumbnail", alt, style: size, draggable: "false", decoding: "async"});
  image.onload = () => {  // the box of the picture itself, for round corners and for what lies beside it
    const scale = box / Math.max(image.naturalWidth, image.naturalHeight);
    Object.assign(image.style, {width: `${image.naturalWidth * scale}px`, height: `${image.naturalHeight * scale}px`});
  };
  image.src = `thumbnails/${kind}/${Math.floor(number / 1000)}/${number}.jpg`;
  return image;
}

/** Pairs of term and value as a list; those without a value left out. */
function facts(pairs) {
  const list = element("dl", {class: "facts"});
  for (const [term, value] of pairs)
    if (value !== null && value !== undefined && value !== "")
      list.append(element("div", {}, element("dt", {text: term}), element("dd", {}, value)));
  return list;
}

/** A table; a cell is text, a number, or an element. */
function table(caption, titles, rows) {
  const cell = value => value instanceof Node ? element("td", {}, value)
    : element("td", {class: typeof value === "number" ? "n" : null, text: typeof value === "number" ? number(value) : value ?? "–"});
  const body = rows.map(([first, ...others]) => element("tr", {}, element("th", {scope: "row"}, first), ...others.map(cell)));
  return element("div", {class: "scroll", role: "region", "aria-label": caption, tabindex: "0"},
    element("table", {}, element("caption", {text: caption}),
      element("thead", {}, element("tr", {}, ...titles.map(title => element("th", {scope: "col", text: title})))),
      element("tbody", {}, ...body)));
}
