"use strict";
// Draws the charts from the JSON in #figures with uPlot. Names may contain any character: they are only ever set as text.

// Pixels beside each plot, the same in all charts: their time axes can be compared by eye. A narrow chart has the texts of
// thresholds inside.
const LEFT = 64, RIGHT = 128, NARROW = 560, NARROW_RIGHT = 14;
const LABEL_HEIGHT = 14;
const rightOf = (chart) => (chart.clientWidth < NARROW ? NARROW_RIGHT : RIGHT);
const figures = JSON.parse(document.getElementById("figures").textContent);
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const severityColor = (severity) => variable("--" + severity) || variable("--none");
const plots = [];

// Rows of uPlot: from this many seconds between ticks, the label, and further lines where the year or the day changes.
const TIME_LABELS = [
  [365 * 86400, "{YYYY}", null, null, null, null, null, null, 1],
  [28 * 86400, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  [0, "{HH}:{mm}:{ss}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
];
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 6 });
const timeText = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ").replace(" 00:00", "");

const element = (parent, tag, className, text) => {
  const made = parent.appendChild(document.createElement(tag));
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

// The columns of a panel as uPlot takes them, and for each line the places of its columns: [value, low, high].
const columnsOf = (figure, panel) => {
  // The ends of the axis are in the data, so that a chart shows its whole period until a reader zooms into it.
  const tables = [[figure.span]], places = new Map();
  let next = 1;
  for (const windows of figure.windows) {
    const table = [windows.ends];
    for (const line of panel.lines.filter((each) => each.version === windows.version)) {
      const columns = [line.values, ...(line.lows ? [line.lows, line.highs] : [])];
      places.set(line, columns.map(() => next++));
      table.push(...columns);
    }
    tables.push(table);
  }
  return [uPlot.join(tables), places];
};

// A value between two windows without one has no line: it is drawn as a point, also where there is no room for all points.
const alonePoints = (plot, place, areShown) => {
  if (areShown) return null;
  const known = plot.data[place].flatMap((value, index) => (value === undefined ? [] : [[value, index]]));
  return known
    .filter(([value], index) => value !== null && (known[index - 1]?.[0] ?? null) === null && (known[index + 1]?.[0] ?? null) === null)
    .map(([, index]) => index);
};

const seriesOf = (panel, places) => {
  const series = [{}], bands = [];
  for (const [line, [value, low, high]] of places) {
    const color = () => variable("--line-" + line.color);
    series[value] = { stroke: color, width: 1.8, points: { size: 6, fill: color, filter: alonePoints } };
    if (low) {
      for (const place of [low, high]) series[place] = { width: 0, points: { show: false } };
      bands.push({ series: [high, low], fill: () => color() + "2e" });
    }
  }
  return { series, bands };
};

const inPlot = (plot, draw) => {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  draw(ctx, bbox, devicePixelRatio);
  ctx.restore();
};

const drawAlerts = (figure) => (plot) => inPlot(plot, (ctx, bbox, scale) => {
  for (const { start, end, severity } of figure.alerts) {
    const [left, right] = [start, end].map((time) => plot.valToPos(time, "x", true));
    ctx.fillStyle = ctx.strokeStyle = severityColor(severity);
    ctx.globalAlpha = 0.14;
    ctx.fillRect(left, bbox.top, Math.max(right - left, 2 * scale), bbox.height);
    ctx.globalAlpha = 0.5;
    ctx.lineWidth = scale;
    ctx.strokeRect(left, bbox.top - scale, right - left, bbox.height + 2 * scale);
  }
});

// Windows without a value are marked at the bottom.
const drawNotes = (figure) => (plot) => inPlot(plot, (ctx, bbox, scale) => {
  const size = 3.5 * scale, y = bbox.top + bbox.height - 3 * size;
  ctx.strokeStyle = variable("--muted");
  ctx.lineWidth = 1.8 * scale;
  ctx.beginPath();
  for (const windows of figure.windows) {
    for (const [place, note] of Object.entries(windows.notes)) {
      if (!note.startsWith("no value")) continue;
      const x = plot.valToPos(windows.ends[place], "x", true);
      for (const slope of [-1, 1]) {
        ctx.moveTo(x - size, y - slope * size);
        ctx.lineTo(x + size, y + slope * size);
      }
    }
  }
  ctx.stroke();
});

const drawThresholds = (panel) => (plot) => {
  const lines = panel.thresholds.map((rule) => ({ ...rule, y: plot.valToPos(rule.value, "y", true) }));
  inPlot(plot, (ctx, bbox, scale) => {
    ctx.lineWidth = 1.5 * scale;
    ctx.setLineDash([6 * scale, 5 * scale]);
    for (const { y, severity } of lines) {
      ctx.strokeStyle = severityColor(severity);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
  });
  const { ctx, bbox } = plot, scale = devicePixelRatio;
  ctx.save();
  ctx.font = `600 ${12 * scale}px system-ui, sans-serif`;
  const isNarrow = plot.root.parentNode.clientWidth < NARROW;
  ctx.textAlign = isNarrow ? "right" : "left";
  ctx.textBaseline = "middle";
  let free = 0; // labels of thresholds that are near each other are one below the other
  for (const { y, severity, text } of lines.sort((one, other) => one.y - other.y)) {
    const room = isNarrow ? 8 * scale : 0; // above the line
    free = Math.max(y - room, free) + LABEL_HEIGHT * scale;
    ctx.fillStyle = severityColor(severity);
    const x = bbox.left + bbox.width + (isNarrow ? -4 : 8) * scale;
    ctx.fillText(text, x, free - LABEL_HEIGHT * scale, isNarrow ? bbox.width : (RIGHT - 12) * scale);
  }
  ctx.restore();
};

const tooltipOf = (figure, panel, plot, holder) => {
  const tooltip = element(plot.over, "div", "tooltip");
  tooltip.hidden = true;
  const spoken = element(holder, "div", "hidden"); // a screen reader says what the keyboard chose
  spoken.ariaLive = "polite";
  let isInside = false; // the other charts show the same time, without a tooltip
  const leave = () => { isInside = false; tooltip.hidden = true; };
  plot.over.addEventListener("mouseenter", () => (isInside = true));
  plot.over.addEventListener("mouseleave", leave);
  holder.addEventListener("blur", leave);
  holder.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    const times = plot.data[0].slice(1, -1), last = times.length - 1; // the first and the last are the ends of the axis
    const now = isInside && plot.cursor.idx != null ? Math.min(Math.max(plot.cursor.idx - 1, 0), last) : null;
    const next = { ArrowLeft: now === null ? last : now - 1, ArrowRight: now === null ? 0 : now + 1, Home: 0, End: last }[event.key];
    if (next === undefined || last < 0) return;
    event.preventDefault();
    isInside = true;
    plot.setCursor({ left: plot.valToPos(times[Math.min(Math.max(next, 0), last)], "x"), top: 8 });
    spoken.textContent = tooltip.innerText;
  });
  const fill = (time) => {
    tooltip.replaceChildren();
    for (const windows of figure.windows) {
      const place = windows.ends.lastIndexOf(time);
      if (place < 0) continue;
      const version = figure.windows.length > 1 ? `${windows.version}, ` : "";
      const samples = `n = ${windows.n[place].toLocaleString("en")}`;
      element(tooltip, "p", "window", `${timeText(windows.starts[place])} to ${timeText(time)}, ${version}${samples}`);
      for (const line of panel.lines.filter((each) => each.version === windows.version && each.values[place] !== null)) {
        const row = element(tooltip, "p", "value");
        element(row, "i", "").style.background = `var(--line-${line.color})`;
        element(row, "b", "", line.texts[place]);
        element(row, "span", "", line.name);
      }
      if (windows.notes[place]) element(tooltip, "p", "remark", windows.notes[place]);
      if (windows.revisions?.[place]) element(tooltip, "p", "remark", `revision ${windows.revisions[place]}: computed again`);
    }
    for (const alert of figure.alerts.filter(({ start, end }) => start <= time && time <= end)) {
      const row = element(tooltip, "p", "value");
      element(row, "i", "").style.background = severityColor(alert.severity);
      element(row, "span", "", alert.text);
    }
  };
  return () => {
    const times = plot.data[0];
    if (!isInside || plot.cursor.idx == null || times.length < 3) {
      tooltip.hidden = true;
      return;
    }
    // The first and the last time are the ends of the axis.
    const time = times[Math.min(Math.max(plot.cursor.idx, 1), times.length - 2)];
    fill(time);
    tooltip.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = tooltip, room = plot.over.clientWidth;
    const left = Math.min(Math.max(plot.valToPos(time, "x"), 0), room);
    tooltip.style.left = `${Math.max(left + 16 + width > room + rightOf(holder) ? left - width - 12 : left + 12, -LEFT)}px`;
    tooltip.style.top = `${Math.min(plot.cursor.top, plot.over.clientHeight - height)}px`;
  };
};

// Names of lines; a click hides or shows a line with its interval.
const addLegend = (head, panel, places, plot) => {
  if (panel.lines.length < 2) return;
  for (const line of panel.lines) {
    const button = element(head, "button", "");
    button.type = "button";
    button.ariaPressed = "true";
    element(button, "i", "").style.background = `var(--line-${line.color})`;
    element(button, "span", "", line.name);
    button.addEventListener("click", () => {
      const isShown = button.classList.toggle("off") === false;
      button.ariaPressed = String(isShown);
      for (const place of places.get(line)) plot.setSeries(place, { show: isShown });
    });
  }
};

const addPanel = (chart, figure, panel, isLast) => {
  const holder = element(chart, "div", "panel"), head = element(holder, "div", "legend");
  holder.tabIndex = 0;
  holder.role = "group";
  holder.ariaLabel = `Chart of ${figure.name}${panel.title ? ", " + panel.title : ""}. Arrow keys move through its windows.`;
  if (panel.title) element(head, "b", "", panel.title);
  const [data, places] = columnsOf(figure, panel);
  const axis = { stroke: () => variable("--muted"), font: "12px system-ui, sans-serif" };
  const grid = { stroke: () => variable("--border"), width: 1 };
  const height = (figure.panels.length < 2 ? 232 : 104) + (isLast ? 44 : 12);
  const showTooltip = [];
  const plot = new uPlot({
    width: chart.clientWidth,
    height,
    ...seriesOf(panel, places),
    padding: [10, () => rightOf(chart), 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    scales: { y: { range: panel.range } },
    axes: [
      { ...axis, grid, ticks: { show: false }, size: isLast ? 44 : 12, space: 70, values: isLast ? TIME_LABELS : (_, ticks) => ticks.map(() => "") },
      {
        ...axis, grid, ticks: { show: false }, space: 36,
        values: (_, ticks) => ticks.map((tick) => compact.format(tick)),
        size: (_, labels) => Math.max(LEFT, ...(labels ?? []).map((label) => 7 * label.length + 16)),
      },
    ],
    legend: { show: false },
    cursor: { y: false, sync: { key: "time" }, drag: { x: true, y: false } },
    hooks: {
      drawAxes: [drawAlerts(figure)],
      draw: [drawThresholds(panel), drawNotes(figure)],
      setCursor: [() => showTooltip.forEach((show) => show())],
      // A tooltip that stays at its place in a smaller window would make the page scroll to the side.
      setSize: [(resized) => resized.setCursor({ left: -10, top: -10 }, true, false)],
    },
  }, data, holder);
  showTooltip.push(tooltipOf(figure, panel, plot, holder));
  addLegend(head, panel, places, plot);
  if (!head.hasChildNodes()) head.remove();
  plots.push(plot);
  new ResizeObserver(() => plot.setSize({ width: chart.clientWidth, height })).observe(chart);
};

const drawChart = (chart) => {
  const figure = figures[chart.dataset.figure];
  figure.panels.forEach((panel, place) => addPanel(chart, figure, panel, place === figure.panels.length - 1));
};
// A page with many charts draws those that a reader comes to.
const charts = [...document.querySelectorAll(".chart")];
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries.filter(({ isIntersecting }) => isIntersecting)) {
    observer.unobserve(entry.target);
    drawChart(entry.target);
  }
}, { rootMargin: "400px" });
if (charts.length <= 8) charts.forEach(drawChart);
else charts.forEach((chart) => observer.observe(chart));
addEventListener("beforeprint", () => charts.filter((chart) => !chart.hasChildNodes()).forEach(drawChart));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.redraw()));
