"use strict";
// Two tables: captions by style and attribute, and what was dropped and why, with examples.

function link(text, choice) {
  return element("a", {href: `#portraits?${new URLSearchParams(choice)}`, text});
}

function captionsView(view) {
  const counts = new Map(gallery.captions.map(([field, style, count]) => [`${field}|${style}`, count]));
  const fields = [...gallery.words.field, null].filter(field => gallery.captions.some(row => row[0] === field));
  const styles = [...new Set(gallery.captions.map(row => row[1]))];
  const rows = styles.map(style => [plain(style), ...fields.map(field => {
    const count = counts.get(`${field}|${style}`);
    if (!count || field === null || style === null) return count ?? null;
    return element("span", {class: "n"}, link(number(count), {field, style}));
  })]);
  view.replaceChildren(
    element("p", {class: "note", text: "How many pairs have a caption of each style, by the attribute that it gives away. A number leads to its portraits."}),
    rows.length ? table("Captions by style and attribute", ["Style", ...fields.map(field => field === null ? "no personal data" : plain(field))], rows)
      : element("p", {text: "There are no captions yet."}));
}

function droppedView(view) {
  if (!gallery.dropped.length) return view.replaceChildren(element("p", {text: "Nothing is known to be dropped."}));
  const rows = gallery.dropped.map(({stage, reason, count, examples}) => {
    const portraits = examples.some(example => example.portrait !== null);
    return [stage, portraits ? link(plain(reason), {state: reason}) : element("span", {text: plain(reason)}), count];
  });
  const parts = gallery.dropped.map(({stage, reason, count, examples}) => element("section", {},
    element("h3", {text: `${stage}: ${plain(reason)}`}),
    element("p", {class: "note", text: examples.length < count ? `${examples.length} of ${number(count)} are shown; the stage's rejects hold all of them.` : `${number(count)} in all`}),
    element("ul", {class: "examples"}, ...examples.map(example => exampleItem(example, examples)))));
  view.replaceChildren(table("What was dropped, and why", ["Stage", "Reason", "Items"], rows), ...parts);
}

/** An item that was dropped: a portrait opens in the dialog; of others there may be a picture. */
function exampleItem({item, detail, portrait, picture}, examples) {
  const told = [element("code", {text: item}), element("span", {class: "soft", text: detail})];
  if (portrait === null) return element("li", {}, picture === null ? null : thumbnail("dropped", picture, 120, item), ...told);
  const list = examples.map(example => example.portrait).filter(number => number !== null);
  return element("li", {}, element("button", {type: "button", onclick: () => viewer.open(list, list.indexOf(portrait))},
    thumbnail("portraits", gallery.picture(portrait), 120, item)), ...told);
}
