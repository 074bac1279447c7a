"""The U-Net: parameter counts, dependencies, and a PyTorch version with the same weights."""

import numpy as np
import pytest
from small_networks import (
    Weights,
    assert_close,
    batch,
    both,
    conv,
    count,
    dense,
    descend,
    norm,
    shaken,
    tiny,
    tiny_unet,
)

import tinygen as tg
from tinygen.autograd import to_numpy, xp
from tinygen.models import (
    SpaceToDepth,
    TextEncoder,
    UNet,
    conv_decoder,
    conv_encoder,
    dcgan_discriminator,
    dcgan_generator,
    small_unet,
)
from tinygen.models.unet import Block
from tinygen.nn import Dense, SelfAttention

# --- counts, by hand ------------------------------------------------------------------------------


def attention(c):
    return norm(c) + 4 * dense(c, c)


def block(a, b, embedded):
    skip = conv(1, a, b) if a != b else 0
    return norm(a) + conv(3, a, b) + dense(embedded, b) + norm(b) + conv(3, b, b) + skip


def test_the_default_unet_has_597345_parameters(rng):
    e = 128
    by_hand = (
        dense(32, e)
        + dense(e, e)  # the time
        + conv(3, 1, 32)
        + block(32, 32, e)
        + conv(3, 32, 64)  # 28 × 28
        + block(64, 64, e)
        + conv(3, 64, 64)  # 14 × 14
        + 2 * block(64, 64, e)
        + 2 * attention(64)  # 7 × 7
        + conv(3, 64, 64)
        + block(128, 64, e)
        + conv(3, 64, 32)
        + block(64, 32, e)
        + norm(32)
        + conv(3, 32, 1)
    )
    assert count(UNet(rng=rng)) == by_hand == 597_345


def test_a_unet_grows_with_its_depth_multipliers_and_classes(rng):
    e = 32
    by_hand = (
        dense(8, e)
        + dense(e, e)
        + 11 * e  # ten classes and "any"
        + conv(3, 3, 16)
        + 2 * block(16, 16, e)
        + 4 * attention(16)
        + conv(3, 16, 24)
        + 4 * block(24, 24, e)
        + conv(3, 24, 16)
        + 2 * block(32, 16, e)
        + norm(16)
        + conv(3, 16, 3)
    )
    unet = UNet((16, 16, 3), 8, (2, 3), depth=2, attention_at=(16,), classes=10, rng=rng)
    assert count(unet) == by_hand


# --- everything is connected ----------------------------------------------------------------------


def test_a_new_unet_learns_though_most_of_it_starts_without_effect(rng):
    x, t = batch(rng, 4, 8, 8, 1), xp.asarray([1.0, 10.0, 100.0, 900.0])
    unet = tiny_unet(rng)
    before = unet.state_dict()
    assert (np.diff(descend(unet, (x, t), 6)) < 0).all()
    still = {name for name, each in unet.state_dict().items() if (each == before[name]).all()}
    assert {name for name in still if not name.endswith("key.bias")} == set()


# --- the U-Net ------------------------------------------------------------------------------------


def test_a_unets_output_starts_at_zero(rng):
    y = tiny_unet(rng)(batch(rng, 2, 8, 8, 1), xp.asarray([3.0, 400.0]))
    assert (y.numpy() == 0).all()


def test_a_block_starts_as_the_identity(rng):
    x, e = batch(rng, 2, 4, 4, 8), batch(rng, 2, 6)
    for heads in (0, 2):
        block = Block(8, 8, 6, groups=2, heads=heads, rng=rng).astype(float)
        assert (block(x, e).numpy() == to_numpy(x)).all()
        wider = Block(8, 4, 6, groups=2, heads=heads, rng=rng).astype(float)
        assert_close(wider(x, e), to_numpy(x) @ wider.skip.weight.numpy()[0, 0])


def test_a_unet_sees_the_time_of_each_image(rng):
    unet, (x, t, classes) = tiny("UNet", rng, N=3)
    moved = t + xp.asarray([0.0, 1.0, 0.0])
    change = unet(x, moved, classes).numpy() - unet(x, t, classes).numpy()
    assert (np.abs(change).max(axis=(1, 2, 3)) > 1e-3).tolist() == [False, True, False]


def test_a_unet_distinguishes_all_times_from_0_to_1000(rng):
    unet, t = shaken(tiny_unet(rng), rng), xp.arange(1001.0)
    y = unet(xp.zeros((1001, 8, 8, 1)), t).numpy()
    assert len(np.unique(y.round(4).reshape(1001, -1), axis=0)) == 1001


def test_a_unet_takes_whole_numbers_for_times(rng):
    unet, x = shaken(tiny_unet(rng), rng), batch(rng, 2, 8, 8, 1)
    assert_close(unet(x, xp.asarray([3, 500])), unet(x, xp.asarray([3.0, 500.0])).numpy())


def test_a_unet_sees_the_class_of_each_image_and_the_last_number_is_any(rng):
    unet = shaken(tiny_unet(rng, classes=3), rng)
    x, t = xp.repeat(batch(rng, 1, 8, 8, 1), 4, axis=0), xp.full(4, 100.0)
    y = unet(x, t, xp.arange(4)).numpy()  # 0, 1, 2 and "any"
    assert all(np.abs(y[i] - y[j]).max() > 1e-3 for i in range(4) for j in range(i))
    one = unet(x[:1], t[:1], classes=xp.asarray([3]))
    assert_close(one, y[3:])


def test_a_pixel_of_a_unets_input_reaches_every_pixel_of_its_output(rng):
    unet, (x, *others) = tiny("UNet", rng, N=1)
    moved = x.copy()
    moved[0, 0, 0] += 1
    assert np.abs(unet(moved, *others).numpy() - unet(x, *others).numpy()).min() > 0


def seen(monkeypatch, kind):
    """The (input, output) shapes of all calls of a kind of layer, without the batch."""
    calls, forward = [], kind.forward

    def watched(self, x, *others):
        y = forward(self, x, *others)
        calls.append((x.shape[1:], y.shape[1:]))
        return y

    monkeypatch.setattr(kind, "forward", watched)
    return calls


@pytest.mark.parametrize("at", [(), (2,), (8, 4), (8, 4, 2)])
def test_a_unet_attends_at_the_heights_asked_for(at, rng, monkeypatch):
    calls = seen(monkeypatch, SelfAttention)
    tiny_unet(rng, multipliers=(1, 1, 2), attention_at=at, depth=2)(
        batch(rng, 1, 8, 8, 1), xp.asarray([1.0])
    )
    assert sorted(x[0] for x, _ in calls) == sorted(4 * at)  # two blocks down and two up


def test_a_unet_goes_down_and_up_through_levels_of_its_multipliers(rng, monkeypatch):
    calls = seen(monkeypatch, Block)
    unet = UNet((8, 12, 1), 4, (1, 2, 3), depth=2, attention_at=(), groups=2, rng=rng)
    unet(batch(rng, 1, 8, 12, 1), xp.asarray([1.0]))
    assert calls == [
        *2 * [((8, 12, 4), (8, 12, 4))],
        *2 * [((4, 6, 8), (4, 6, 8))],
        *4 * [((2, 3, 12), (2, 3, 12))],
        *2 * [((4, 6, 16), (4, 6, 8))],  # with the skip connections' channels
        *2 * [((8, 12, 8), (8, 12, 4))],
    ]


def test_a_unet_may_have_a_single_level(rng, monkeypatch):
    calls = seen(monkeypatch, Block)
    UNet((5, 5, 1), 4, (2,), attention_at=(5,), groups=2, rng=rng)(
        batch(rng, 1, 5, 5, 1), xp.asarray([1.0])
    )
    assert calls == 2 * [((5, 5, 8), (5, 5, 8))]


def silu(x):
    return x / (1 + tg.exp(-x))


def block_by_hand(b, x, e):
    h = b.conv1(silu(b.norm1(x))) + b.embedding(e).reshape(len(x), 1, 1, -1)
    h = b.conv2(silu(b.norm2(h))) + (x if b.skip is None else b.skip(x))
    return h if b.attention is None else h + b.attention(b.norm3(h))


def test_a_unet_is_its_layers_one_after_the_other_and_takes_back_the_latest_copy_first(rng):
    unet = shaken(tiny_unet(rng, depth=2, classes=3), rng)
    x, t, classes = batch(rng, 2, 8, 8, 1), xp.asarray([0.7, 40.0]), xp.asarray([3, 1])
    first, second = (f for f in unet.embed_time if isinstance(f, Dense))
    waves = t[:, None] * xp.asarray([1.0, 1e-4])
    e = second(silu(first(xp.concatenate([xp.sin(waves), xp.cos(waves)], axis=1))))
    e = silu(e + unet.embed_class.weight[classes])

    top = unet.levels
    a0 = unet.stem(x)
    a1 = block_by_hand(top.down[0], a0, e)
    a2 = block_by_hand(top.down[1], a1, e)
    h = top.shrink(a2)  # 4 × 4
    for block in top.below.blocks:
        h = block_by_hand(block, h, e)
    h = top.grow(h.data.repeat(2, axis=1).repeat(2, axis=2))
    h = block_by_hand(top.up[0], tg.concat([h, a2], axis=-1), e)
    h = block_by_hand(top.up[1], tg.concat([h, a1], axis=-1), e)
    assert_close(unet(x, t, classes), unet.head(silu(unet.norm(h))).numpy())


def test_a_unet_of_captions_adds_their_mean_to_e_and_attends_to_their_words(rng):
    text = TextEncoder(7, 3, 6, depth=1, heads=2, rng=rng)
    unet = UNet((5, 5, 1), 4, (2,), attention_at=(5,), heads=2, groups=2, text=text, rng=rng)
    shaken(unet, rng)
    x, t, tokens = (
        batch(rng, 2, 5, 5, 1),
        xp.asarray([0.7, 40.0]),
        xp.asarray([[1, 6, 0], [2, 2, 5]]),
    )
    c = text(tokens)
    e = silu(unet.embed_time(t) + unet.embed_text(c.mean(axis=1)))
    h = unet.stem(x)
    for block in unet.levels.blocks:
        h = block_by_hand(block, h, e)
        h = h + block.to_words(block.norm4(h), c)
    y = unet(x, t, tokens)
    assert_close(y, unet.head(silu(unet.norm(h))).numpy())
    swapped = unet(x, t, tokens[:, ::-1]).numpy()
    assert np.abs(swapped - y.numpy()).max(axis=(1, 2, 3)).min() > 1e-4  # the order matters
    assert_close(unet(x[1:], t[1:], tokens[1:]), y.numpy()[1:])


# --- against PyTorch, with the same weights -------------------------------------------------------


def torch_block(w, name, x, e, groups, heads=0):
    silu = w.F.silu
    h = w.conv(f"{name}.conv1", silu(w.group_norm(f"{name}.norm1", groups, x)), padding=1)
    h = h + w.dense(f"{name}.embedding", e)[:, :, None, None]
    h = w.conv(f"{name}.conv2", silu(w.group_norm(f"{name}.norm2", groups, h)), padding=1)
    h = h + (w.conv(f"{name}.skip", x) if f"{name}.skip.weight" in w.state else x)
    if heads:
        N, C, H, W = h.shape
        tokens = w.group_norm(f"{name}.norm3", groups, h).flatten(2).mT  # (N, T, C)
        q, k, v = (
            w.dense(f"{name}.attention.{part}", tokens).unflatten(2, (heads, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        z = w.F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(N, H * W, C)
        h = h + w.dense(f"{name}.attention.mix", z).mT.unflatten(2, (H, W))
    return h


def test_the_unet_agrees_with_pytorch(rng):
    torch = pytest.importorskip("torch")
    model = shaken(
        UNet(
            (8, 4, 3), 4, (1, 3), depth=2, attention_at=(4,), classes=5, heads=3, groups=2, rng=rng
        ),
        rng,
        by=0.2,
    )
    classes = np.array([0, 5, 2])
    w, (x, xt) = Weights(torch, model), both(torch, rng.standard_normal((3, 8, 4, 3)))
    t, tt = both(torch, np.array([0.3, 20.0, 999.0]))

    waves = tt[:, None] * torch.tensor([1.0, 1e-4], dtype=torch.float64)
    e = torch.cat([torch.sin(waves), torch.cos(waves)], dim=1)
    e = w.dense("embed_time.layers.3", w.F.silu(w.dense("embed_time.layers.1", e)))
    e = w.F.silu(e + w.state["embed_class.weight"][torch.tensor(classes)])

    a0 = w.conv("stem", xt.permute(0, 3, 1, 2), padding=1)
    a1 = torch_block(w, "levels.down.0", a0, e, 2)
    a2 = torch_block(w, "levels.down.1", a1, e, 2)
    h = w.conv("levels.shrink", w.F.pad(a2, (0, 1, 0, 1)), stride=2)
    for i in range(4):
        h = torch_block(w, f"levels.below.blocks.{i}", h, e, 2, heads=3)
    h = w.conv("levels.grow", w.F.interpolate(h, scale_factor=2, mode="nearest"), padding=1)
    h = torch_block(w, "levels.up.0", torch.cat([h, a2], dim=1), e, 2)
    h = torch_block(w, "levels.up.1", torch.cat([h, a1], dim=1), e, 2)
    y = w.conv("head", w.F.silu(w.group_norm("norm", 2, h)), padding=1).permute(0, 2, 3, 1)

    w.agree(model, [(x, xt), (t, tt)], model(x, t, xp.asarray(classes)), y, rng)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [(28, 28), 28])
@pytest.mark.parametrize(
    "build", [dcgan_generator, dcgan_discriminator, conv_encoder, conv_decoder, UNet]
)
def test_an_invalid_image_shape_is_refused(build, image, rng):
    with pytest.raises((TypeError, ValueError), match="unpack"):
        build(image, rng=rng)


@pytest.mark.parametrize(
    ("x", "t", "classes", "pattern"),
    [
        ((2, 8, 8), (2,), None, r"\(2, 8, 8\)"),
        ((2, 8, 8, 3), (2,), None, "3 channels"),
        ((2, 8, 8, 1), (), None, r"UNet: .*`t` of shape \(2,\), got \(\)"),
        ((2, 8, 8, 1), (2, 1), None, r"UNet: .*`t` of shape \(2,\), got \(2, 1\)"),
        ((2, 8, 8, 1), (2,), [0, 1], r"UNet: .*`classes`.* got \[0, 1\]"),
    ],
)
def test_a_unet_refuses_inputs_that_do_not_fit(x, t, classes, pattern, rng):
    with pytest.raises(ValueError, match=pattern):
        tiny_unet(rng)(xp.zeros(x), xp.zeros(t), classes)


@pytest.mark.parametrize(
    ("classes", "error", "pattern"),
    [
        (None, ValueError, "UNet: .*`classes`.* got None"),
        ([1, 2, 3], ValueError, r"\(2,16\) \(3,16\)"),
        ([0, 4], ValueError, "Embedding: .* < 4, got 0 to 4"),
        ([-1, 0], ValueError, "Embedding: .* < 4, got -1 to 0"),
        ([0.0, 1.0], TypeError, "Embedding: .*float64"),
    ],
)
def test_a_unet_with_classes_refuses_invalid_classes(classes, error, pattern, rng):
    with pytest.raises(error, match=pattern):
        tiny_unet(rng, classes=3)(xp.zeros((2, 8, 8, 1)), xp.zeros(2), classes)


def test_a_unet_refuses_another_dtype(rng):
    with pytest.raises(TypeError, match="float32 and float64"):
        tiny_unet(rng)(tg.Tensor(xp.zeros((2, 8, 8, 1))), xp.zeros(2))


# --- space-to-depth -------------------------------------------------------------------------------


def test_folded_pixels_are_channels_and_come_back_where_they_were(rng):
    seen = []
    x = xp.asarray(rng.standard_normal((2, 6, 4, 3)))
    network = SpaceToDepth(lambda x, t: seen.append(x) or x, 2)
    np.testing.assert_array_equal(to_numpy(network(x, 5.0).data), to_numpy(x))
    assert seen[0].shape == (2, 3, 2, 12)
    first = to_numpy(seen[0].data)[0, 1, 1].reshape(2, 2, 3)
    np.testing.assert_array_equal(first, to_numpy(x)[0, 2:4, 2:4])


def test_the_small_unet_has_two_levels_and_attends_on_the_lower(rng):
    e = 4 * 8
    by_hand = (
        dense(8, e)
        + dense(e, e)
        + 4 * e  # three classes and "any"
        + conv(3, 4, 8)  # 2 × 2 pixels as four channels
        + block(8, 8, e)
        + conv(3, 8, 16)  # 6 × 4
        + 2 * block(16, 16, e)
        + 2 * attention(16)  # 3 × 2
        + conv(3, 16, 8)
        + block(16, 8, e)
        + norm(8)
        + conv(3, 8, 4)
    )
    net = small_unet((12, 8, 1), 8, 3, rng=rng)
    assert count(net) == by_hand
    x, t = xp.zeros((2, 12, 8, 1), "f4"), xp.ones(2, "f4")
    assert net(x, t, xp.asarray([0, 3])).shape == (2, 12, 8, 1)


def test_space_to_depth_needs_sides_that_the_factor_divides(rng):
    with pytest.raises(ValueError, match=r"size 24 into shape \(1,1,3,2,3,1\)"):
        SpaceToDepth(lambda x: x, 3)(xp.zeros((1, 4, 6, 1)))
