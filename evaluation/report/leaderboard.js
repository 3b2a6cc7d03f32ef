"use strict";
const {records, metrics, targets, verdicts} = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const judged = at("verdict") !== null;  // not where the pair is worthless
const body = at("board").tBodies[0], rows = [...body.rows];
for (const [id, first] of [["x", "RetFail"], ["y", "InterIdSim"]])
  for (const metric of metrics) at(id).add(new Option(metric, metric, false, metric === first));

function visible(row) {
  const record = records[row.dataset.row];
  const wanted = at("name").value.trim().toLowerCase();
  return (record.model.toLowerCase().includes(wanted) || record.name.toLowerCase().includes(wanted))
    && (!judged || !at("verdict").value || record.verdict === at("verdict").value || record.reference)
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
  const narrow = chart.clientWidth < 560, width = narrow ? 360 : 760, height = narrow ? 420 : 430;
  const area = {left: narrow ? 48 : 70, right: width - 12, top: 12, bottom: height - 50};
  const shown = rows.filter(row => !row.hidden).map(row => records[row.dataset.row])
    .filter(record => record[x] !== null && record[y] !== null);
  chart.replaceChildren();
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.setAttribute("aria-label", `${y} against ${x} of ${shown.length} models; the numbers are in the table below`);
  const middle = {x: (area.left + area.right) / 2, y: (area.top + area.bottom) / 2};
  if (!shown.length) return chart.append(element("text", {...middle, "text-anchor": "middle"}, "nothing to show"));
  const goal = targets[x] !== null && targets[y] !== null;
  const spread = metric => shown.flatMap(record => [record[metric], record[metric + "_low"], record[metric + "_high"]])
    .concat(goal ? [targets[metric]] : []).filter(value => value !== null && value !== undefined);
  const across = scale(spread(x), area.left, area.right), up = scale(spread(y), area.bottom, area.top);
  for (const tick of across.ticks) {
    const place = across.place(tick);
    chart.append(element("line", {class: "grid", x1: place, x2: place, y1: area.top, y2: area.bottom}));
    chart.append(element("text", {class: "soft", x: place, y: area.bottom + 17, "text-anchor": "middle"}, tick.toFixed(across.digits)));
  }
  for (const tick of up.ticks) {
    const place = up.place(tick);
    chart.append(element("line", {class: "grid", x1: area.left, x2: area.right, y1: place, y2: place}));
    chart.append(element("text", {class: "soft", x: area.left - 8, y: place + 4, "text-anchor": "end"}, tick.toFixed(up.digits)));
  }
  chart.append(element("text", {x: middle.x, y: height - 10, "text-anchor": "middle"}, x));
  chart.append(element("text", {x: 14, y: middle.y, "text-anchor": "middle", transform: `rotate(-90 14 ${middle.y})`}, y));
  const taken = [], points = [], box = (h, v, side) => ({x: h - side, y: v - side, width: 2 * side, height: 2 * side});
  if (goal) {
    const [h, v] = [across.place(targets[x]), up.place(targets[y])];
    chart.append(element("circle", {class: "goal", cx: h, cy: v, r: 11}));
    taken.push(box(h, v, 12));
  }
  for (const record of shown) {
    const kind = record.reference ? 0 : judged ? 1 + verdicts.indexOf(record.verdict) : 7;
    const link = element("a", {href: record.page, class: `v${kind}`});
    const h = across.place(record[x]), v = up.place(record[y]);
    if (record[x + "_low"] !== null)
      link.append(element("line", {class: "bar", x1: across.place(record[x + "_low"]), x2: across.place(record[x + "_high"]), y1: v, y2: v}));
    if (record[y + "_low"] !== null)
      link.append(element("line", {class: "bar", x1: h, x2: h, y1: up.place(record[y + "_low"]), y2: up.place(record[y + "_high"])}));
    link.append(element("circle", {class: "mark", cx: h, cy: v, r: 5}));
    link.append(element("title", {}, `${record.name}: ${x} ${record[x].toFixed(4)}, ${y} ${record[y].toFixed(4)}`));
    chart.append(link);
    taken.push(box(h, v, 6));
    points.push([record, h, v]);
  }
  for (const [record, h, v] of points) label(chart, record.name.split(", ")[0], h, v, area, taken);
}

/** Put a label at the free place nearest to its point, with a line to it; places lie on growing ellipses around it. */
function label(chart, words, h, v, area, taken) {
  const text = element("text", {"text-anchor": "middle"}, words);
  chart.append(text);
  const {width, height} = text.getBBox();
  const apart = (a, b) => a.x + a.width < b.x || b.x + b.width < a.x || a.y + a.height < b.y || b.y + b.height < a.y;
  for (let away = 9; away < area.right; away += 5) for (let turn = 0; turn < 24; turn++) {
    const angle = turn * Math.PI / 12;
    const place = {x: h + (away + width / 2) * Math.cos(angle) - width / 2, y: v + (away + height / 2) * Math.sin(angle) - height / 2, width, height};
    if (place.x < area.left || place.x + width > area.right || place.y < area.top || place.y + height > area.bottom) continue;
    if (!taken.every(other => apart(place, other))) continue;
    text.setAttribute("x", place.x + width / 2);
    text.setAttribute("y", place.y + height * .78);
    taken.push(place);
    if (away > 14) chart.insertBefore(element("line", {class: "lead-line", x1: h, y1: v, x2: place.x + width / 2, y2: place.y + height / 2}), text);
    return;
  }
  text.remove();  // no place is free: the name is in the tooltip and in the table
}

for (const [column, header] of [...at("board").tHead.rows[0].cells].entries())
  header.firstElementChild.addEventListener("click", () => sort(column, header));
at("name").addEventListener("input", filter);
for (const id of ["verdict", "budget"]) at(id)?.addEventListener("change", filter);
for (const id of ["x", "y"]) at(id).addEventListener("change", draw);
addEventListener("resize", draw);
draw();
