# Assignment 3: convolution and its two adjoints
# file: convolution.py
# uses: numpy
# minutes: 90

# %% [markdown]
# # Convolution and its two adjoints
#
# A convolutional layer looks at every window of an image through the same small filter. You write
# the layer, the gradient of its filter and the gradient of its image. The last one is the
# transposed convolution that turns small images into large ones in a generator.
#
# **Shapes.** Images x are (N, H, W, C): N images of H × W pixels with C channels. Filters w are
# (K, L, C, O): a window of K × L pixels, from C channels to O. The stride s is the step between
# windows. The padding p is the number of rows and columns of zeros on each of the four sides. The
# result y is (N, H′, W′, O). In general H ≠ W and K ≠ L. Both s and p are single integers.
#
# **One sum.** All of this assignment is in one formula,
#
# T(x, w, y) = Σ x[n, s i + k − p, s j + l − p, c] · w[k, l, c, o] · y[n, i, j, o],
#
# summed over n, i, j, k, l, c and o, where x is zero outside the image. T is linear in each of its
# three arguments. So its derivative with respect to one argument is a function of the other two:
# ∂T/∂y is the layer. ∂T/∂w gives the filter's gradient, and ∂T/∂x the image's.
#
# **Speed.** Each call may take 10 seconds. A Python loop over all seven indices takes minutes for a
# layer of real size. For a fixed position (i, j), or for a fixed filter element (k, l), the rest
# of the sum is one matrix product or one `np.einsum`. Two loops are enough.

# %%
import numpy as np

# %% [markdown]
# ## 1. The layer [7]
#
# How many windows of K rows fit? The first begins at the top of the padded image, each next one s
# rows below, and the last must end inside the padded image. Write this number, H′, for `n` pixels
# and a window of `k`. Then write the layer, ∂T/∂y:
#
# y[n, i, j, o] = Σ x[n, s i + k − p, s j + l − p, c] · w[k, l, c, o], summed over k, l and c.
#
# `np.pad` adds the zeros.


# %%
def output_size(n, k, s=1, p=0):
    """the number of windows of k pixels at step s along n pixels with p zeros on each side"""
    # BEGIN SOLUTION
    return (n + 2 * p - k) // s + 1
    # END SOLUTION


def conv2d(x, w, s=1, p=0):
    """y[n, i, j, o] = Σ x[n, s i + k − p, s j + l − p, c] w[k, l, c, o], (N, H′, W′, O)"""
    # BEGIN SOLUTION
    (N, H, W, _), (K, L, _, O) = x.shape, w.shape
    rows, columns = output_size(H, K, s, p), output_size(W, L, s, p)
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    y = np.zeros((N, rows, columns, O))
    for k in range(K):
        for l in range(L):
            y += x[:, k : k + s * rows : s, l : l + s * columns : s] @ w[k, l]
    return y
    # END SOLUTION


# %% [markdown]
# ## 2. The filter's gradient [5]
#
# Now ∂T/∂w. The same products, summed over n, i and j: a sum over the batch, not a mean.
#
# w[k, l, c, o] = Σ x[n, s i + k − p, s j + l − p, c] · y[n, i, j, o].
#
# `size` is (K, L): it can't always be found from the shapes of x and y.


# %%
def conv2d_weight(x, y, s=1, p=0, *, size):
    """w[k, l, c, o] = Σ x[n, s i + k − p, s j + l − p, c] y[n, i, j, o], (K, L, C, O)"""
    # BEGIN SOLUTION
    (K, L), (_, rows, columns, O) = size, y.shape
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    w = np.zeros((K, L, x.shape[3], O))
    for k in range(K):
        for l in range(L):
            window = x[:, k : k + s * rows : s, l : l + s * columns : s]
            w[k, l] = np.einsum("nijc,nijo->co", window, y)
    return w
    # END SOLUTION


# %% [markdown]
# ## 3. The image's gradient: the transposed convolution [6]
#
# Last, ∂T/∂x: the pixel at row s i + k − p and column s j + l − p receives
#
# x[n, s i + k − p, s j + l − p, c] = Σ y[n, i, j, o] · w[k, l, c, o],
#
# summed over o and over all (i, j, k, l) that lead to this pixel. So each element of y stamps a
# copy of the filter onto the image, and overlapping stamps add up. Stamps may reach into the
# padding; that part is cut off. Pixels that no window covers get zero. `size` is (H, W).


# %%
def conv_transpose2d(y, w, s=1, p=0, *, size):
    """x[n, s i + k − p, s j + l − p, c] = Σ y[n, i, j, o] w[k, l, c, o], (N, H, W, C)"""
    # BEGIN SOLUTION
    (N, rows, columns, _), (K, L, C, _), (H, W) = y.shape, w.shape, size
    x = np.zeros((N, H + 2 * p, W + 2 * p, C))
    for k in range(K):
        for l in range(L):
            x[:, k : k + s * rows : s, l : l + s * columns : s] += y @ w[k, l].T
    return x[:, p : p + H, p : p + W]
    # END SOLUTION


# %% [markdown]
# ## 4. Each one's gradients are the other two [8]
#
# By linearity, T(x, w, y) is an inner product (the sum of all elementwise products) in three ways:
#
# ⟨conv2d(x, w), y⟩ = ⟨x, conv_transpose2d(y, w)⟩ = ⟨w, conv2d_weight(x, y)⟩ = T(x, w, y).
#
# Let g be the derivative of a loss with respect to a layer's output. If x changes by dx, the output
# of `conv2d` changes by conv2d(dx, w), and the loss by
#
# ⟨conv2d(dx, w), g⟩ = T(dx, w, g) = ⟨dx, conv_transpose2d(g, w)⟩.
#
# So x̄, the derivative of the loss with respect to x, is conv_transpose2d(g, w). Find the other five
# gradients in the same way. You need no new loop: each is a call of one of your three functions.
# Pass on s and p, and the size where one is asked for.


# %%
def conv2d_backward(g, x, w, s=1, p=0):
    """x̄, w̄ of y = conv2d(x, w, s, p), from g = ȳ"""
    # BEGIN SOLUTION
    gx = conv_transpose2d(g, w, s, p, size=x.shape[1:3])
    return gx, conv2d_weight(x, g, s, p, size=w.shape[:2])
    # END SOLUTION


def conv_transpose2d_backward(g, y, w, s=1, p=0):
    """ȳ, w̄ of x = conv_transpose2d(y, w, s, p, size=…), from g = x̄"""
    # BEGIN SOLUTION
    return conv2d(g, w, s, p), conv2d_weight(g, y, s, p, size=w.shape[:2])
    # END SOLUTION


def conv2d_weight_backward(g, x, y, s=1, p=0):
    """x̄, ȳ of w = conv2d_weight(x, y, s, p, size=…), from g = w̄"""
    # BEGIN SOLUTION
    return conv_transpose2d(y, g, s, p, size=x.shape[1:3]), conv2d(x, g, s, p)
    # END SOLUTION


# %% [markdown]
# ## 5. Undo a convolution [4]
#
# Eight different filters of stride 2 turn an image of 28 × 28 pixels into eight blurred images of
# 14 × 14. Recover the image by gradient descent on its pixels. The loss is half the sum of the
# squared errors, ½ Σ (conv2d(x, w, s, p) − y)²: no mean. Return the loss at x, and the x after one
# step.
#
# The first step from zero is a transposed convolution: it restores the shape of the image, but not
# its values. 200 steps restore both. `check` draws the image, one of the eight blurred ones, and x
# after 1, 5, 20 and 200 steps.


# %%
def descent_step(x, w, y, s, p, lr):
    """the loss at x, a number, and x − lr · x̄"""
    # BEGIN SOLUTION
    error = conv2d(x, w, s, p) - y
    gx = conv_transpose2d(error, w, s, p, size=x.shape[1:3])
    return 0.5 * (error**2).sum(), x - lr * gx
    # END SOLUTION


def scene(rng):
    """an image (1, 28, 28, 1) of a disc and a striped wall"""
    i, j = np.mgrid[:28, :28]
    (row, column), radius = rng.uniform(9, 18, 2), rng.uniform(5, 8)
    disc = (i - row) ** 2 + (j - column) ** 2 < radius**2
    wall = ((i + j) // 3 % 2 == 0) & (j > 15)
    return np.maximum(disc, 0.6 * wall)[None, :, :, None]


def lenses(rng):
    """eight filters (4, 4, 1, 8), for stride 2 and padding 1"""
    w = rng.normal(size=(4, 4, 1, 8))
    return w / np.sqrt((w**2).sum())


def restore(y, w, steps, s=2, p=1, size=(28, 28), lr=1.0):
    """the image after `steps` steps from zeros"""
    x = np.zeros((len(y), *size, w.shape[2]))
    for _ in range(steps):
        _, x = descent_step(x, w, y, s, p, lr)
    return x


def picture():
    """the image, one of the eight measured (enlarged), and x after 1, 5, 20 and 200 steps"""
    rng = np.random.default_rng(1)
    x, w = scene(rng), lenses(rng)
    y = conv2d(x, w, 2, 1)
    blurred = np.kron(y[0, :, :, 0], np.ones((2, 2)))
    blurred = (blurred - blurred.min()) / (blurred.max() - blurred.min())
    steps = [restore(y, w, n)[0, :, :, 0] for n in (1, 5, 20, 200)]
    return np.stack([x[0, :, :, 0], blurred, *steps])[..., None]
