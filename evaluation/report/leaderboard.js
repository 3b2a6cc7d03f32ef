"use strict";
const {records, metrics, targets, verdicts} = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const body = at("board").tBodies[0], rows = [...body.rows];
for (const [id, first] of [["x", "RetFail"], ["y", "InterIdSim"]])
  for (const metric of metrics) at(id).add(new Option(metric, metric, false, metric === first));

function visible(row) {
  const record = records[row.dataset.row];
  return record.model.toLowerCase().includes(at("name").value.trim().toLowerCase())
    && (!at("verdict").value || record.verdict === at("verdict").value || record.reference)
    && (!at("budget").value || record.reference || record.budget === Number(at("budget").value));
}

function filter() {
  for (const row of rows) row.hidden = !visible(row);
  at("shown").textContent = rows.filter(row => !row.hidden).length;
  draw();
}

function sort(column, header) {
  const up = header.getAttribute("aria-sort") !== "ascending";
  for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = row => row.cells[column].dataset.value;
  const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  const order = (one, other) => {
    const a = value(one), b = value(other);
    return (a === "") - (b === "") || (up ? compare(a, b) : compare(b, a)) || one.dataset.row - other.dataset.row;
  };
  body.append(...rows.toSorted(order));
}

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function scale(values, from, to) {
  let low = Math.min(...values), high = Math.max(...values);
  const margin = (high - low || Math.abs(high) || 1) * .08;
  low -= margin; high += margin;
  const step = 10 ** Math.floor(Math.log10((high - low) / 3));
  const stride = [1, 2, 5, 10].map(factor => factor * step).find(size => (high - low) / size < 7);
  const ticks = [];
  for (let tick = Math.ceil(low / stride) * stride; tick <= high; tick += stride) ticks.push(tick);
  const digits = Math.max(0, -Math.floor(Math.log10(stride)));
  return {place: value => from + (value - low) / (high - low) * (to - from), ticks, digits};
}

function draw() {
  const x = at("x").value, y = at("y").value, chart = at("chart");
  const shown = rows.filter(row => !row.hidden).map(row => records[row.dataset.row])
    .filter(record => record[x] !== null && record[y] !== null);
  chart.replaceChildren();
  chart.setAttribute("aria-label", `${y} against ${x} of ${shown.length} models; the numbers are in the table below`);
  const goal = targets[x] !== null && targets[y] !== null;
  const spread = metric => shown.flatMap(record => [record[metric], record[metric + "_low"], record[metric + "_high"]])
    .concat(goal ? [targets[metric]] : []).filter(value => value !== null && value !== undefined);
  if (!shown.length) return chart.append(element("text", {x: 360, y: 215, "text-anchor": "middle"}, "nothing to show"));
  const left = scale(spread(x), 70, 705), top = scale(spread(y), 380, 15);
  for (const tick of left.ticks) {
    chart.append(element("line", {class: "grid", x1: left.place(tick), x2: left.place(tick), y1: 15, y2: 380}));
    chart.append(element("text", {class: "soft", x: left.place(tick), y: 397, "text-anchor": "middle"}, tick.toFixed(left.digits)));
  }
  for (const tick of top.ticks) {
    chart.append(element("line", {class: "grid", x1: 70, x2: 705, y1: top.place(tick), y2: top.place(tick)}));
    chart.append(element("text", {class: "soft", x: 62, y: top.place(tick) + 4, "text-anchor": "end"}, tick.toFixed(top.digits)));
  }
  chart.append(element("text", {x: 387, y: 420, "text-anchor": "middle"}, x));
  chart.append(element("text", {x: 14, y: 197, "text-anchor": "middle", transform: "rotate(-90 14 197)"}, y));
  if (goal) chart.append(element("circle", {class: "goal", cx: left.place(targets[x]), cy: top.place(targets[y]), r: 11}));
  const ring = {x: left.place(targets[x]) - 12, y: top.place(targets[y]) - 12, width: 24, height: 24};
  const taken = goal ? [ring] : [], labels = [];
  for (const record of shown) {
    const kind = record.reference ? 0 : 1 + verdicts.indexOf(record.verdict);
    const link = element("a", {href: `models/${encodeURIComponent(record.model)}.html`, class: `v${kind}`});
    const h = left.place(record[x]), v = top.place(record[y]);
    if (record[x + "_low"] !== null)
      link.append(element("line", {class: "bar", x1: left.place(record[x + "_low"]), x2: left.place(record[x + "_high"]), y1: v, y2: v}));
    if (record[y + "_low"] !== null)
      link.append(element("line", {class: "bar", x1: h, x2: h, y1: top.place(record[y + "_low"]), y2: top.place(record[y + "_high"])}));
    link.append(element("circle", {class: "mark", cx: h, cy: v, r: 5}));
    link.append(element("title", {}, `${record.model}: ${x} ${record[x].toFixed(4)}, ${y} ${record[y].toFixed(4)}`));
    chart.append(link);
    taken.push({x: h - 6, y: v - 6, width: 12, height: 12});
    labels.push([element("text", {}, record.model), h, v]);
  }
  for (const [label, h, v] of labels) {
    chart.append(label);
    if (!fits(label, h, v, taken)) label.remove();  // its name is in the tooltip and in the table
  }
}

function fits(label, h, v, taken) {
  const apart = (a, b) => a.x + a.width < b.x || b.x + b.width < a.x || a.y + a.height < b.y || b.y + b.height < a.y;
  const {width, height} = label.getBBox();
  for (const [dx, dy] of [[9, -6], [16, height / 3], [9, 6 + height], [-9 - width, -6], [-9 - width, 6 + height], [-width / 2, -12], [-width / 2, 12 + height]]) {
    const box = {x: h + dx, y: v + dy - height, width, height};
    if (box.x < 70 || box.x + width > 705 || box.y < 0 || box.y + height > 380) continue;
    if (!taken.every(other => apart(box, other))) continue;
    label.setAttribute("x", box.x);
    label.setAttribute("y", v + dy - height / 4);
    taken.push(box);
    return true;
  }
  return false;
}

for (const [column, header] of [...at("board").tHead.rows[0].cells].entries())
  header.firstElementChild.addEventListener("click", () => sort(column, header));
at("name").addEventListener("input", filter);
for (const id of ["verdict", "budget"]) at(id).addEventListener("change", filter);
for (const id of ["x", "y"]) at(id).addEventListener("change", draw);
draw();
