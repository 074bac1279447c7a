// The four parts of interactive.md; each replaces a picture. They use mathematics.js for what they
// compute, controls.js for what they show, and data.js, which docs/make_interactive.py writes.
"use strict";

const here = document.currentScript.src;
const text = x => x.toFixed(2).replace("-", "−");

const parts = {
    diffusion(part, {T, shown, x: {shape: [frames, count], values}}) {
        const place = (n, t) => [0, 1].map(i => around(1 - t / T, frames).reduce(
            (sum, [k, weight]) => sum + weight * values[(k * count + n) * 2 + i], 0));
        const caption = "Points at time t. Red: five of them, and the paths that they took.";
        const {redraw} = plane(part, caption, [3.5, 3.5], ({dot, line}) => {
            for (let n = 0; n < count; n++) dot(place(n, t()), 2, "brand-content");
            for (const n of shown) {
                const path = [place(n, t())];
                for (let s = t() + T / 100; s <= T; s += T / 100) path.push(place(n, s));
                line(path, "problematic");
                dot(path[0], 4, "problematic");
            }
        });
        const t = slider(part, "time t", [0, T, T / 100, T], redraw);
        let timer;
        add(part, "button", {type: "button", textContent: "Denoise"}).onclick = () => {
            clearInterval(timer);
            t.set(T);
            timer = setInterval(() => t() > 0 ? t.set(t() - T / 100) : clearInterval(timer), 40);
        };
    },

    latent(part, {reach, tiles}) {
        const z = [0, 0], sprite = new Image(), edge = reach * tiles / (tiles - 1);
        const caption = "Point at a code z. Or focus the plane and press the arrow keys.";
        const board = plane(part, caption, [edge, edge], ({pen, dot}, w, h) => {
            pen.drawImage(sprite, -w / 2, -h / 2, w, h);
            dot(z, 6, "brand-content", "background-primary");
        });
        const image = add(part, "canvas", {className: "image", width: 28, height: 28, role: "img"});
        image.ariaLabel = "The image that z decodes to";
        const pen = image.getContext("2d"), code = add(part, "output");
        pen.globalCompositeOperation = "lighter"; // adds
        const update = movable(board, z, reach, true, () => {
            pen.clearRect(0, 0, 28, 28);
            for (const [i, weight_i] of around((1 - z[1] / reach) / 2, tiles))
                for (const [j, weight_j] of around((1 + z[0] / reach) / 2, tiles)) {
                    pen.globalAlpha = weight_i * weight_j;
                    pen.drawImage(sprite, 28 * j, 28 * i, 28, 28, 0, 0, 28, 28);
                }
            code.textContent = `z = (${z.map(text).join(", ")})`;
        });
        sprite.onload = update;
        sprite.src = new URL("digits.png", here);
    },

    flow(part, {reach, v, data}) {
        const velocity = field(v, reach), start = [2, -1.2], grey = "foreground-muted";
        const caption = "Drag the start. Or focus the plane and press the arrow keys.";
        const board = plane(part, caption, [reach, reach], ({dot, line}) => {
            for (let n = 0; n < data.shape[0]; n++)
                dot(data.values.slice(2 * n, 2 * n + 2), 1.5, grey);
            for (let x = -2.8; x < reach; x += 0.4)
                for (let y = -2.8; y < reach; y += 0.4) {
                    const [u, v] = velocity([x, y], t()), wings = [[v, -u], [-v, u]];
                    const [left, right] = wings.map(wing => moved([x, y], 0.02, wing));
                    line([left, moved([x, y], 0.14, [u, v]), right], grey, 1);
                }
            const fine = solve("Heun", velocity, start, 200), colours = {Euler: RED, Heun: BLUE};
            line(fine, INK, 4);
            const errors = Object.entries(colours).map(([solver, colour]) => {
                const path = solve(solver, velocity, start, steps());
                line(path, colour);
                path.forEach(x => dot(x, 3, colour));
                const error = Math.hypot(...moved(path[steps()], -1, fine[200]));
                return [solver, colour, `error at t = 1: ${text(error)}`];
            });
            legend(list, [...errors, ["Reference", INK, "Heun with 200 steps"]]);
            dot(start, 7, INK, "background-primary");
        });
        const list = add(part, "ul");
        const steps = slider(part, "number of steps", [1, 40, 1, 4], board.redraw);
        const t = slider(part, "time t of the arrows", [0, 1, 0.02, 0.5], board.redraw);
        movable(board, start, reach, false);
    },

    valley(part) {
        const start = [-4, 1.2], steps = 50, colours = {SGD: RED, momentum: BLUE, Adam: INK};
        const ellipse = f => Array.from({length: 65}, (_, k) => [Math.cos, Math.sin].map(
            (wave, i) => Math.sqrt(2 * f / H[i]) * wave(k * Math.PI / 32)));
        const caption = "Fifty steps from the left, and lines of equal loss.";
        const {redraw} = plane(part, caption, [5, 2.2], ({dot, line}) => {
            for (let f = 0.05; f < 100; f *= 2.5) line(ellipse(f), "foreground-muted", 0.5);
            legend(list, Object.entries(colours).map(([name, colour]) => {
                const places = descend(name, 10 ** power(), start, steps);
                line(places, colour, 1.5);
                places.forEach((p, n) => dot(p, n < steps ? 2.5 : 6, colour));
                return [name, colour, `loss ${loss(places[steps]).toPrecision(2)}`];
            }));
        });
        const list = add(part, "ul"), range = [-3, 0, 0.02, -1.5];
        const power = slider(part, "learning rate", range, redraw, x => (10 ** x).toPrecision(2));
    },
};

// --- start ---------------------------------------------------------------------------------------

for (const part of document.querySelectorAll(".play")) {
    part.replaceChildren();
    parts[part.dataset.play](part, unpacked(DATA[part.dataset.play] ?? {}));
}
const redraw = () => redraws.forEach(f => f());
new MutationObserver(redraw).observe(document.body, {attributes: true}); // light or dark
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
