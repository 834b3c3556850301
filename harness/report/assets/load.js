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
      head.textContent = chart.labels[best] + ":";
      cells.forEach((cell, i) => (cell.textContent = chart.cells[i][best]));
      figure.classList.add("pointed");
    };
    const leave = () => {
      cursor.setAttribute("visibility", "hidden");
      figure.classList.remove("pointed");
    };
    if (chart.x.length) {
      svg.addEventListener("pointermove", point);
      svg.addEventListener("pointerdown", point);
      svg.addEventListener("pointerleave", leave);
    }
  }
})();
