// What play.js computes. Points are [x, y].
"use strict";

// --- optimisers on a valley ----------------------------------------------------------------------

const H = [1, 25]; // curvatures of the loss f(p) = (h₁ x² + h₂ y²) / 2
const loss = p => (H[0] * p[0] ** 2 + H[1] * p[1] ** 2) / 2;
const gradient = p => p.map((x, i) => H[i] * x);

// Each takes a learning rate η and returns a step (p, g) → p, which keeps the state in b or t, m, v
const optimisers = {
    SGD: eta => (p, g) => p.map((x, i) => x - eta * g[i]),
    momentum: (eta, mu = 0.9, b = [0, 0]) => (p, g) => {
        b = b.map((b, i) => mu * b + g[i]);
        return p.map((x, i) => x - eta * b[i]);
    },
    Adam: (eta, beta1 = 0.9, beta2 = 0.999, t = 0, m = [0, 0], v = [0, 0]) => (p, g) => {
        t += 1;
        m = m.map((m, i) => beta1 * m + (1 - beta1) * g[i]);
        v = v.map((v, i) => beta2 * v + (1 - beta2) * g[i] ** 2);
        const [c1, c2] = [1 - beta1 ** t, 1 - beta2 ** t];
        return p.map((x, i) => x - eta * (m[i] / c1) / (Math.sqrt(v[i] / c2) + 1e-8));
    },
};

function descend(name, eta, start, steps) {
    const step = optimisers[name](eta), places = [start];
    for (let t = 0; t < steps; t++) places.push(step(places[t], gradient(places[t])));
    return places;
}

// --- solvers of dx/dt = v(x, t) ------------------------------------------------------------------

const moved = (x, h, k) => x.map((x, i) => x + h * k[i]);
const solvers = {
    Euler: (v, x, t, h) => moved(x, h, v(x, t)),
    Heun: (v, x, t, h) => {
        const k1 = v(x, t), k2 = v(moved(x, h, k1), t + h);
        return moved(x, h / 2, [k1[0] + k2[0], k1[1] + k2[1]]);
    },
};

function solve(name, v, x, steps) { // from t = 0 to 1
    const places = [x], h = 1 / steps;
    for (let n = 0; n < steps; n++) places.push(solvers[name](v, places[n], n * h, h));
    return places;
}

// --- arrays of data.js ---------------------------------------------------------------------------

function unpacked(content) { // each array is base64 of 16-bit integers × scale
    const array = ({shape, scale, base64}) => {
        const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
        return {shape, values: Float64Array.from(new Int16Array(bytes.buffer), n => n * scale)};
    };
    const entries = Object.entries(content);
    return Object.fromEntries(entries.map(([name, x]) => [name, x.base64 ? array(x) : x]));
}

// The two numbers of 0 … n − 1 around u (n − 1), and their weights in a linear interpolation
function around(u, n) {
    const at = Math.min(Math.max(u, 0), 1) * (n - 1), i = Math.min(Math.floor(at), n - 2);
    return [[i, i + 1 - at], [i + 1, at - i]];
}

// v(x, t) from an array (t, y, x, 2), interpolated; y and x are from −reach to reach
const field = ({shape: [T, rows, columns], values}, reach) => ([x, y], t) => {
    const v = [0, 0];
    for (const [k, at_t] of around(t, T))
        for (const [i, at_y] of around((y / reach + 1) / 2, rows))
            for (const [j, at_x] of around((x / reach + 1) / 2, columns))
                for (const c of [0, 1])
                    v[c] += at_t * at_y * at_x * values[((k * rows + i) * columns + j) * 2 + c];
    return v;
};

if (typeof module === "object") module.exports = {descend, solve, unpacked, field}; // for Node.js
