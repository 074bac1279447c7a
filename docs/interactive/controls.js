// What the parts in play.js are made of: sliders, planes to draw in, points to move.
"use strict";

const redraws = []; // of all planes
const RED = "problematic", BLUE = "brand-content", INK = "foreground-primary"; // as Furo names them
const add = (parent, tag, options = {}) =>
    parent.appendChild(Object.assign(document.createElement(tag), options));

function slider(part, name, [min, max, step, value], redraw, shown = String) {
    const label = add(part, "label", {textContent: name});
    const input = add(label, "input", {type: "range", min, max, step, value});
    const output = add(label, "output", {textContent: shown(value)});
    input.oninput = () => {
        input.ariaValueText = output.textContent = shown(+input.value);
        redraw();
    };
    return Object.assign(() => +input.value, {set(x) { input.value = x; input.oninput(); }});
}

function legend(list, rows) {
    list.replaceChildren();
    for (const [name, colour, about] of rows) {
        const style = `color: var(--color-${colour})`;
        add(add(list, "li"), "b", {textContent: name, style}).after(" ", about);
    }
}

// A canvas with coordinates from −reach to reach
function plane(part, caption, reach, draw) {
    const canvas = add(part, "canvas", {role: "img", ariaLabel: caption});
    add(part, "p", {textContent: caption});
    canvas.style.aspectRatio = reach[0] / reach[1];
    const pen = canvas.getContext("2d"), colours = getComputedStyle(canvas);
    const pixel = p => [p[0] * canvas.clientWidth, -p[1] * canvas.clientHeight].map(
        (x, i) => Math.min(Math.max(x / reach[i] / 2, -1e4), 1e4)); // from the centre
    const path = (points, colour) => {
        pen.fillStyle = pen.strokeStyle = colours.getPropertyValue(`--color-${colour}`);
        pen.beginPath();
        for (const p of points) pen.lineTo(...pixel(p));
    };
    const line = (points, colour, width = 2) => {
        path(points, colour);
        pen.lineWidth = width;
        pen.stroke();
    };
    const dot = (p, radius, colour, edge) => {
        if (edge) dot(p, radius + 2, edge);
        path([], colour);
        pen.arc(...pixel(p), radius, 0, 7);
        pen.fill();
    };
    const redraw = () => {
        const [w, h] = [canvas.clientWidth, canvas.clientHeight], ratio = devicePixelRatio;
        Object.assign(canvas, {width: ratio * w, height: ratio * h}); // this clears it
        pen.setTransform(ratio, 0, 0, ratio, ratio * w / 2, ratio * h / 2);
        draw({pen, dot, line}, w, h);
    };
    redraws.push(redraw);
    new ResizeObserver(redraw).observe(canvas);
    return {canvas, reach, redraw};
}

// Move a point by the pointer and the arrow keys
function movable({canvas, reach, redraw}, point, most, hover, changed = () => {}) {
    const update = () => { redraw(); changed(); };
    const move = p => {
        p.forEach((x, i) => { point[i] = Math.min(Math.max(x, -most), most); });
        update();
    };
    Object.assign(canvas, {tabIndex: 0, role: "application", className: "movable"});
    canvas.onpointerdown = canvas.onpointermove = event => {
        const {clientWidth: w, clientHeight: h} = canvas;
        if (event.type === "pointerdown") canvas.setPointerCapture(event.pointerId);
        if (hover || event.buttons)
            move([(2 * event.offsetX / w - 1) * reach[0], (1 - 2 * event.offsetY / h) * reach[1]]);
    };
    canvas.onkeydown = event => {
        const by = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
        if (!(event.key in by)) return;
        event.preventDefault();
        move(moved(point, most / 25, by[event.key]));
    };
    return update;
}
