"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  for (const chart of data.charts) {
    const figure = document.querySelector(`[data-chart="${chart.id}"]`);
    const svg = figure.querySelector("svg");
    const cursor = svg.querySelector(".cursor");
    const live = figure.querySelector(".live");
    const head = live.appendChild(document.createElement("span"));
    const cells = chart.names.map((name, i) => {
      const cell = live.appendChild(document.createElement("span"));
      const key = cell.appendChild(document.createElement("i"));
      key.className = "key " + chart.styles[i];
      cell.append(` ${name} `);
      return cell.appendChild(document.createElement("b"));
    });
    const tell = (place) => {
      head.textContent = chart.labels[place] + ":";
      cells.forEach((cell, i) => (cell.textContent = chart.cells[i][place]));
    };
    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      let best = 0;
      chart.x.forEach((at, i) => {
        if (Math.abs(at - x) < Math.abs(chart.x[best] - x)) best = i;
      });
      cursor.setAttribute("x1", chart.x[best]);
      cursor.setAttribute("x2", chart.x[best]);
      cursor.setAttribute("visibility", "visible");
      tell(best);
      figure.classList.add("pointed");
    };
    const leave = () => {
      cursor.setAttribute("visibility", "hidden");
      figure.classList.remove("pointed");
    };
    if (chart.x.length) {
      // The longest is written at once, unseen, so that there is room for every other.
      const length = (place) => chart.labels[place].length + chart.cells.reduce((sum, cell) => sum + cell[place].length, 0);
      tell(chart.x.reduce((most, _, place) => (length(place) > length(most) ? place : most), 0));
      svg.addEventListener("pointermove", point);
      svg.addEventListener("pointerdown", point);
      svg.addEventListener("pointerleave", leave);
    }
  }
})();
