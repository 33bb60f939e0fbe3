// Draws the charts of a report with Vega-Lite, and lets the fields above them set the range of iterations.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const CTRL = "event.ctrlKey || event.metaKey";

function spec(chart) {
  const values = chart.lines.flatMap((line) =>
    line.x.map((iteration, i) => ({
      iteration, value: line.y[i], run: data.runs[line.run], single: line.x.length === 1,
    })));
  // without a format, Vega-Lite does not find the field of the nearest point
  const tooltip = [
    ...(data.runs.length > 1 ? [{ field: "run", type: "ordinal", format: "" }] : []),
    { field: "iteration", format: "d" },
    { field: "value", title: chart.name, format: ".5~g" },
  ];
  return {
    width: "container", height: 190, background: null, autosize: { type: "fit", contains: "padding" },
    description: chart.description,
    data: { values },
    encoding: {
      x: { field: "iteration", type: "quantitative", scale: { zero: false, nice: false }, axis: { tickCount: 5, tickMinStep: 1 } },
      y: { field: "value", type: "quantitative", scale: { zero: false }, title: null, axis: { tickCount: 5, format: ".4~g" } },
      color: {
        field: "run", type: "nominal", legend: null,
        scale: { domain: data.runs, range: data.runs.map((_, i) => `var(--run${i % data.colours})`) },
      },
    },
    layer: [
      {
        mark: { type: "line", clip: true, strokeWidth: 1.8, invalid: "break-paths-show-domains" },
        params: [{
          name: "zoom", bind: "scales",
          select: { type: "interval", encodings: ["x"], zoom: `wheel![${CTRL}]` },
        }],
        encoding: {
          strokeDash: {
            field: "run", type: "nominal", legend: null, scale: { domain: data.runs, range: data.dashes },
          },
        },
      },
      {
        mark: { type: "point", clip: true, filled: true, size: 55 },
        params: [{
          name: "hover", select: { type: "point", nearest: true, on: "pointerover", clear: "pointerout" },
        }],
        encoding: {
          opacity: {
            condition: [{ param: "hover", empty: false, value: 1 }, { test: "datum.single", value: 1 }], value: 0,
          },
          tooltip,
        },
      },
    ],
    config: {
      aria: true, font: "system-ui, sans-serif", view: { stroke: null },
      axis: {
        labelColor: "currentColor", titleColor: "currentColor", titleFontWeight: "normal", labelFontSize: 11,
        gridColor: "var(--line)", domainColor: "var(--line)", tickColor: "var(--line)",
      },
      mark: { aria: false },
    },
  };
}

let range = null; // null: all iterations
const views = [];
const show = (view) => view.signal("zoom_iteration", range).run();

async function draw(place) {
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true };
  const { view } = await vegaEmbed(place, spec(data.charts[place.dataset.chart]), options);
  views.push(view);
  if (range) show(view);
}

// a chart is drawn when the reader comes near it: a page of many long curves opens at once
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    observer.unobserve(target);
    draw(target);
  }
}, { rootMargin: "400px" });
for (const place of document.querySelectorAll("[data-chart]")) observer.observe(place);

const form = document.getElementById("range");
if (form) {
  const zoom = () => {
    const ends = ["from", "to"].map((name) => Number(form.elements[name].value));
    if (ends[0] < ends[1]) { range = ends; views.forEach(show); }
  };
  form.addEventListener("change", zoom);
  form.addEventListener("submit", (event) => { event.preventDefault(); zoom(); });
  form.addEventListener("reset", () => { range = null; views.forEach(show); });
}
