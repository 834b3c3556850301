"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const LANE = 15;
  const drawn = [];
  let palette = {};

  // --- colours: canvases do not follow style sheets, so they are read anew whenever the theme changes ---

  const NAMES = ["page", "text", "quiet", "grid", "line", "stable", "candidate", "baseline", "shadow", "bound", "fail", "fault", "alarm", "person"];
  const readPalette = () => {
    const style = getComputedStyle(root);
    palette = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  };
  const darkSystem = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (darkSystem.matches ? "dark" : "light")) === "dark";
  const button = document.getElementById("theme");
  const recolour = () => {
    readPalette();
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    drawn.forEach((plot) => plot.redraw(false));
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    recolour();
  });
  darkSystem.addEventListener("change", recolour);
  let chosen;
  addEventListener("beforeprint", () => {
    chosen = root.dataset.theme;
    root.dataset.theme = "light";
    recolour();
  });
  addEventListener("afterprint", () => {
    if (chosen) root.dataset.theme = chosen;
    else delete root.dataset.theme;
    recolour();
  });

  // --- figures ---

  const short = (value) => String(Number(value.toPrecision(3)));
  const WRITE = {
    latency: (s) => (Math.abs(s) < 0.9995 ? short(s * 1000) + " ms" : short(s) + " s"),
    share: (v) => (v >= 0.9995 && v < 1 ? String(Number((v * 100).toPrecision(5))) : short(v * 100)) + "%",
    figure: (v) => v.toFixed(3),
    count: (v) => (Math.abs(v) >= 1000 ? Math.round(v).toLocaleString("en") : short(v)),
  };
  // Neighbouring ticks must differ: as many decimals as their distance asks for.
  const ticks = (unit) => (_, values, __, ___, increment) => {
    const scale = unit === "share" ? 100 : unit === "latency" && values[values.length - 1] < 1 ? 1000 : 1;
    const decimals = Math.min(6, Math.max(0, -Math.floor(Math.log10(increment * scale) + 1e-9)));
    const suffix = unit === "share" ? "%" : unit === "latency" ? (scale === 1000 ? " ms" : " s") : "";
    return values.map((value) => Number((value * scale).toFixed(decimals)).toLocaleString("en") + suffix);
  };
  const clock = (minutes) => {
    const all = Math.round(minutes * 60);
    const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
    const two = (n) => String(n).padStart(2, "0");
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };

  // --- how each kind of line is drawn ---

  const STYLES = {
    candidate: { width: 2 },
    stable: { width: 1.75, dash: [7, 4] },
    bound: { width: 1.5, dash: [2, 3] },
    planned: { width: 1.5, dash: [2, 3] },
    baseline: { width: 1.75, dash: [2, 3] },
    shadow: { width: 1.75, dash: [10, 3] },
    effect: { width: 2 },
    interval: { width: 1 },
    nought: { width: 1.5, dash: [2, 3] },
  };
  const COLOURS = { planned: "bound", nought: "bound", effect: "candidate", interval: "candidate" };
  // What lies between two lines, as a band: an interval.
  const bands = (plot) => {
    const edges = plot.lines.map((line, i) => (line.kind === "interval" ? i + 1 : 0)).filter(Boolean);
    return edges.length === 2 ? [{ series: edges, fill: () => palette.candidate + "2e" }] : undefined;
  };
  const isolated = (u, index, shown) => {
    if (shown) return null;
    const y = u.data[index];
    const alone = [];
    for (let i = 0; i < y.length; i++) {
      if (y[i] != null && y[i - 1] == null && y[i + 1] == null) alone.push(i);
    }
    return alone.length ? alone : null;
  };
  const series = (plot) => (line) => ({
    label: line.name,
    stroke: () => palette[COLOURS[line.kind] || line.kind],
    paths: plot.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
    points: { show: false, size: 5, filter: isolated },
    spanGaps: false,
    ...STYLES[line.kind],
  });

  // --- vertical markers ---

  const LOOKS = {
    step: { colour: "bound", width: 1, dash: [], lane: 0, rank: 1 },
    held: { colour: "bound", width: 1.5, dash: [3, 3], lane: 0, rank: 2 },
    decision: { colour: "text", width: 2, dash: [], lane: 0, rank: 0 },
    rollout: { colour: "text", width: 3, dash: [1, 1], lane: 0, rank: 0 },
    alarm: { colour: "alarm", width: 2, dash: [], lane: 2, rank: 0 },
    retraining: { colour: "alarm", width: 1.5, dash: [6, 2], lane: 2, rank: 1 },
    approval: { colour: "person", width: 1.5, dash: [2, 3], lane: 2, rank: 1 },
    fault: { colour: "fault", width: 1.5, dash: [5, 4], lane: 1, rank: 0 },
    fault_ended: { colour: "fault", width: 1, dash: [2, 4], lane: 1, rank: 1 },
    replica: { colour: "fault", width: 1, dash: [1, 3], lane: 1, rank: 2 },
  };
  const inOrder = [...data.flags].sort((a, b) => LOOKS[a.mark].rank - LOOKS[b.mark].rank || a.x - b.x);
  // Only as many lanes of labels as there are kinds of flags.
  const used = [...new Set(data.flags.map((flag) => LOOKS[flag.mark].lane))].sort();
  const lanes = used.length;

  const drawFlags = (u) => {
    const { ctx, bbox } = u;
    const px = uPlot.pxRatio;
    const taken = used.map(() => []);
    ctx.save();
    ctx.font = `600 ${11 * px}px system-ui, sans-serif`;
    ctx.textBaseline = "alphabetic";
    ctx.textAlign = "left";
    for (const flag of inOrder) {
      const look = LOOKS[flag.mark];
      const lane = used.indexOf(look.lane);
      const x = Math.round(u.valToPos(flag.x, "x", true));
      if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
      ctx.strokeStyle = ctx.fillStyle = palette[look.colour];
      ctx.lineWidth = look.width * px;
      ctx.setLineDash(look.dash.map((part) => part * px));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top - (lane * LANE + 2) * px);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      // A label that would cover another is left out: the list above the plots has them all.
      const width = ctx.measureText(flag.label).width;
      const left = Math.min(Math.max(x - width / 2, bbox.left), bbox.left + bbox.width - width);
      const gap = 4 * px;
      if (taken[lane].some(([from, to]) => left < to + gap && left + width > from - gap)) continue;
      taken[lane].push([left, left + width]);
      ctx.fillText(flag.label, left, bbox.top - (lane * LANE + 5) * px);
    }
    ctx.restore();
  };

  const drawFailed = (plot) => (u) => {
    const { ctx, bbox } = u;
    const px = uPlot.pxRatio;
    const own = new Set(plot.id === "share" ? data.failed : plot.failed);
    const size = 4.5 * px;
    const foot = bbox.top + bbox.height - 1 * px;
    ctx.save();
    ctx.setLineDash([]);
    ctx.strokeStyle = ctx.fillStyle = palette.fail;
    ctx.lineWidth = 1 * px;
    for (const at of data.failed) {
      const x = u.valToPos(at, "x", true);
      if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
      ctx.beginPath();
      ctx.moveTo(x - size, foot);
      ctx.lineTo(x, foot - 2 * size);
      ctx.lineTo(x + size, foot);
      ctx.closePath();
      if (own.has(at)) ctx.fill();
      else ctx.stroke();
    }
    ctx.restore();
  };

  // --- what the cursor points at ---

  const live = (plot) => {
    const place = document.querySelector(`[data-live="${plot.id}"]`);
    const time = place.appendChild(document.createElement("span"));
    const cells = plot.lines.map((line) => {
      const cell = place.appendChild(document.createElement("span"));
      const key = cell.appendChild(document.createElement("i"));
      key.className = "key " + line.kind;
      cell.append(` ${line.kind === "bound" ? "bound" : line.name} `);
      return cell.appendChild(document.createElement("b"));
    });
    return (u) => {
      let pointed = u.cursor.idx;
      if (pointed != null && plot.stepped) {
        // Between two steps the one before is in force, not the nearer.
        const minute = u.posToVal(u.cursor.left, "x");
        pointed = Math.max(0, plot.x.findLastIndex((x) => x <= minute));
        time.textContent = `at ${clock(Math.max(0, minute))}:`;
      } else {
        time.textContent = pointed == null ? "last:" : `at ${clock(plot.x[pointed])}:`;
      }
      plot.lines.forEach((line, i) => {
        const value = line.y[pointed ?? line.y.findLastIndex((known) => known != null)];
        cells[i].textContent = value == null ? "–" : WRITE[plot.unit](value);
      });
    };
  };

  // --- the plots ---

  const range = (plot) => (u, low, high) => {
    if (plot.id === "share") return [0, 1.04];
    if (plot.span) return plot.span;
    if (low == null) return [0, 1];
    if (plot.zero) return [0, (high || 0.01) * 1.1];
    const room = (high - low || Math.abs(high) || 1) * 0.12;
    return [low - room, high + room];
  };
  const INCREMENTS = data.short ? [1, 2, 5, 10, 15, 30, 60].map((seconds) => +(seconds / 60).toFixed(6)) : [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 720, 1440, 2880, 7200];
  const height = (plot) => (plot.id === "share" ? 150 : 180) + lanes * LANE;

  const draw = (plot, last) => {
    const box = document.querySelector(`[data-plot="${plot.id}"] .canvas`);
    const told = live(plot);
    const axis = { stroke: () => palette.quiet, font: "11px system-ui, sans-serif", labelFont: "11px system-ui, sans-serif" };
    const options = {
      width: box.clientWidth,
      height: height(plot) + (last ? 20 : 0),
      padding: [lanes * LANE + 6, 14, 0, 0],
      legend: { show: false },
      cursor: { y: false, sync: { key: "run" }, points: { show: !plot.stepped, size: 7 }, drag: { x: true, y: false } },
      scales: {
        x: { time: false, range: (u, low, high) => (low === plot.x[0] && high === plot.x[plot.x.length - 1] ? [0, data.end || 1] : [low, high]) },
        y: { range: range(plot) },
      },
      axes: [
        {
          ...axis, incrs: INCREMENTS, space: 55, size: 26, gap: 3,
          label: last ? `${data.short ? "seconds" : "minutes"} since traffic began` : undefined, labelSize: 18,
          ...(data.short ? { values: (u, splits) => splits.map((at) => String(+(at * 60).toFixed(1))) } : {}),
          grid: { show: false }, ticks: { stroke: () => palette.line, width: 1, size: 4 },
        },
        {
          ...axis, size: 58, space: 32, gap: 4, values: ticks(plot.unit),
          grid: { stroke: () => palette.grid, width: 1 }, ticks: { show: false },
        },
      ],
      series: [{}, ...plot.lines.map(series(plot))],
      bands: bands(plot),
      hooks: { drawAxes: [drawFlags], draw: [drawFailed(plot)], setCursor: [told] },
    };
    const made = new uPlot(options, [plot.x, ...plot.lines.map((line) => line.y)], box);
    told(made);
    drawn.push(made);
    new ResizeObserver(() => {
      if (box.clientWidth && box.clientWidth !== made.width) made.setSize({ width: box.clientWidth, height: made.height });
    }).observe(box);
  };

  recolour();
  data.plots.forEach((plot, i) => draw(plot, i === data.plots.length - 1));
})();
