"""GAN training: labels, the two updates of a step, and invalid input."""

import math
from functools import partial

import numpy as np
import pytest
from small_gans import EVERY, Point, Slope, generator, host, tensor

import tinygen as tg
from tinygen import gan, models, nn, optim
from tinygen.data import Batches
from tinygen.gan import GAN, LOSSES, Hinge, LeastSquares, Wasserstein, gradient_penalty, r1

ONES, TWO = tensor(np.ones((4, 3))), tensor(np.ones((2, 3)))
OF_ONE, OF_THREE = GAN(Point(1.0), None, 1), GAN(Point(1.0), None, 2, classes=3)

# --- clipping -------------------------------------------------------------------------------------


def test_a_clipped_discriminator_finds_the_distance_of_two_points():
    discriminator = nn.Dense(1, 1, rng=generator()).astype(float)
    model = GAN(Point(2.5), discriminator, 1)
    batches = (tensor(np.full((4, 1), 1.0)) for _ in range(200))
    optimizers = (
        optim.SGD(model.generator.parameters(), 1e-12),
        optim.SGD(discriminator.parameters(), 0.1),
    )
    *_, last = gan.train(
        model, batches, *optimizers, rng=generator(), loss=Wasserstein(), clip_at=1.0
    )
    assert float(last["distance"]) == pytest.approx(1.5)  # |2.5 − 1|, as D is 1-Lipschitz
    assert float(discriminator.weight[0, 0]) == -1


# --- the model ------------------------------------------------------------------------------------


def test_packing_concatenates_the_channels_of_images():
    x = generator().random((6, 2, 4, 3))
    packed = host(gan.pack(tensor(x), 3))
    assert packed.shape == (2, 2, 4, 9)
    for i in range(6):
        np.testing.assert_array_equal(packed[i // 3, :, :, 3 * (i % 3) : 3 * (i % 3) + 3], x[i])
    points = generator().random((4, 2))
    np.testing.assert_array_equal(host(gan.pack(tensor(points), 2)), points.reshape(2, 4))


def test_packing_needs_a_multiple_of_m_rows():
    with pytest.raises(ValueError, match=r"^pack: .*multiple of 4 rows, got 6$"):
        gan.pack(tensor(np.ones((6, 2))), 4)


def test_both_networks_of_a_conditional_model_see_the_label():
    seen = {}

    class Watched(nn.Module):
        def __init__(self, name, out):
            self.name, self.out = name, out
            self.w = tensor(1.0, requires_grad=True)

        def forward(self, x):
            seen[self.name] = host(x)
            return self.w * tensor(np.ones((len(x), *self.out)))

    model = GAN(Watched("G", (5, 4, 2)), Watched("D", (1,)), 3, classes=4)
    labels = np.array([2, 0, 3])
    z = generator().standard_normal((3, 3))
    x = model.generate(tensor(z), labels)
    model.judge(x, labels)
    np.testing.assert_array_equal(seen["G"], np.hstack([z, np.eye(4)[labels]]))
    assert seen["D"].shape == (3, 5, 4, 6)
    np.testing.assert_array_equal(seen["D"][..., :2], host(x))
    planes = np.broadcast_to(np.eye(4)[labels][:, None, None], (3, 5, 4, 4))
    np.testing.assert_array_equal(seen["D"][..., 2:], planes)


def test_each_packed_image_has_its_own_label_channels():
    seen = []

    def discriminator(x):
        seen.append(host(x))
        return x.sum(axis=(1, 2, 3))

    x, labels = generator().random((6, 2, 4, 3)), np.array([1, 0, 0, 1, 1, 1])
    scores = host(GAN(None, discriminator, 1, classes=2, packing=3).judge(tensor(x), labels))
    (packs,) = seen
    assert packs.shape == (2, 2, 4, 3 * (3 + 2))
    for i in range(6):
        own = packs[i // 3, :, :, 5 * (i % 3) : 5 * (i % 3) + 5]
        np.testing.assert_array_equal(own[..., :3], x[i])
        np.testing.assert_array_equal(own[..., 3:], np.eye(2)[[[labels[i]] * 4] * 2])
    np.testing.assert_allclose(scores, packs.sum(axis=(1, 2, 3)))


def test_every_image_has_its_label_for_any_batch_size():
    model = GAN(lambda z: z[:, 2:], None, 2, classes=4)  # returns its labels
    labels = np.array([3, 1, 0, 2, 2, 0, 1])
    for size in (3, 100):
        images = model.images(np.zeros((7, 2), np.float32), labels, size=size)
        np.testing.assert_array_equal(images, np.eye(4)[labels])


class Counting(nn.Module):
    """The identity, which counts rows in an integer array"""

    def __init__(self):
        self.seen = np.zeros(1, int)

    def forward(self, z):
        self.seen += len(z)
        return z


def test_noise_has_the_dtype_of_the_first_floating_state():
    for network, dtype in [
        (lambda z: z, "f4"),
        (Counting(), "f4"),
        (nn.Sequential(Counting(), Point(1.0)), "f8"),
    ]:
        model = GAN(network, None, 3)
        z = model.noise(50, rng=generator())
        assert z.dtype == dtype
        np.testing.assert_array_equal(host(z), generator().standard_normal((50, 3), np.float32))
        assert model.sample(5, rng=generator()).dtype == dtype


def test_samples_use_evaluation_mode_and_any_batch_size():
    g = nn.Sequential(nn.Dense(3, 4, rng=generator()), nn.BatchNorm(4))
    model = GAN(g, None, 3)
    g(tg.Tensor(tg.xp.asarray(generator().standard_normal((50, 3)), "f4")))
    before = model.state_dict()
    whole = model.sample(10, rng=generator(3))
    np.testing.assert_allclose(model.sample(10, rng=generator(3), size=3), whole, rtol=1e-5)
    after = model.state_dict()
    assert all((array == after[name]).all() for name, array in before.items())
    assert model.training
    assert whole.dtype == np.float32


@pytest.mark.parametrize(
    ("call", "pattern"),
    [
        (lambda: GAN(None, None, 0), "GAN: .*`latent`.* ≥ 1, got 0"),
        (lambda: GAN(None, None, 2, packing=1.5), "GAN: .*`packing`.* ≥ 1, got 1.5"),
        (lambda: GAN(None, None, 2, classes=-1), "GAN: .*`classes`.* ≥ 0, got -1"),
        (lambda: OF_THREE.generate(TWO), "GAN: expected `labels`.* 3 classes"),
        (lambda: OF_THREE.judge(TWO), "GAN: expected `labels`.* 3 classes"),
        (lambda: OF_THREE.sample(2, [0, 3], rng=generator()), "GAN: .* from 0 to 2, got 0 to 3"),
        (lambda: OF_ONE.sample(2, [0, 1], rng=generator()), "GAN: expected no `labels`"),
        (lambda: OF_ONE.noise(-1, rng=generator()), "negative"),
        (lambda: GAN(None, lambda x: x, 1).judge(TWO), r"discriminator: .*\(2, 1\), got \(2, 3\)"),
        (lambda: one_step(discriminator_steps=0), "train: .*`discriminator_steps`.* ≥ 1, got 0"),
        (lambda: one_step(clip_at=0), "`limit` > 0, got 0"),
        (lambda: gan.clip([], math.nan), "clip: .*`limit` > 0, got nan"),
        (lambda: penalty(Slope(1.0), weight=-1), "gradient_penalty: .*`weight` ≥ 0, got -1"),
        (lambda: r1(Slope(1.0), ONES, weight=math.nan), "r1: .*`weight` ≥ 0, got nan"),
        (lambda: penalty(tg.mean), r"discriminator: .*\(4, 1\), got \(\)"),
        (lambda: r1(lambda x: x, ONES), r"discriminator: .*\(4, 1\), got \(4, 3\)"),
    ],
)
def test_invalid_arguments_are_refused(call, pattern):
    with pytest.raises(ValueError, match=pattern):
        call()


def penalty(discriminator, **options):
    return gradient_penalty(discriminator, ONES, ONES, rng=generator(), **options)


def one_step(batch=ONES[:, :1], **options):
    model = GAN(Point(1.0), Slope(1.0), 1)
    optimizers = [optim.SGD(m.parameters(), 0.1) for m in (model.generator, model.discriminator)]
    return next(gan.train(model, [batch], *optimizers, rng=generator(), **options))


@pytest.mark.parametrize("batch", [[np.zeros((4, 1)), np.zeros(4, int)], (np.zeros((4, 1)),) * 3])
def test_a_batch_is_images_or_a_pair(batch):
    with pytest.raises(TypeError, match=f"images.*labels.*{type(batch).__name__} of {len(batch)}"):
        one_step(batch)


def test_training_on_bytes_is_refused():
    with pytest.raises(TypeError, match=r"train: .*floating point.*uint8"):
        one_step((np.zeros((4, 1), np.uint8), np.zeros(4, int)))


# --- the loop -------------------------------------------------------------------------------------


class Counted(nn.Module):
    """x w, which counts how often the gradient of w is computed"""

    def __init__(self, inputs, outputs):
        self.w = tensor(generator(inputs).standard_normal((inputs, outputs)), requires_grad=True)
        self.computed = 0

    def forward(self, x):
        x = tg.as_tensor(x)

        def vjp_w(g, z):
            self.computed += 1
            return x.T @ g

        return tg.record(x.data @ self.w.data, (x, lambda g, z: g @ self.w.T), (self.w, vjp_w))


def small(classes=None, packing=1, **options):
    g, d = Counted(2 + (classes or 0), 3), Counted(packing * (3 + (classes or 0)), 1)
    model = GAN(g, d, 2, classes=classes, packing=packing)
    optimizers = optim.SGD(g.parameters(), 0.01), optim.SGD(d.parameters(), 0.01)
    x = generator(9).standard_normal((40, 3))
    labels = np.arange(40) % classes if classes else None
    batches = Batches(x, 8, rng=generator(4), labels=labels, epochs=2)
    return model, optimizers, gan.train(model, batches, *optimizers, rng=generator(2), **options)


def test_the_generators_loss_never_computes_the_discriminators_weight_gradients():
    model, _, steps = small()
    for n, _ in enumerate(steps, 1):
        assert model.discriminator.computed == 2 * n  # for r and for f
        assert model.generator.computed == n


@pytest.mark.parametrize("loss", EVERY[:5])
def test_a_step_is_the_two_updates_of_the_algorithm(loss):
    model, _, steps = small(loss=loss)
    w, v = host(model.generator.w).copy(), host(model.discriminator.w).copy()
    record = next(steps)
    x = next(Batches(generator(9).standard_normal((40, 3)), 8, rng=generator(4)))
    z = tensor(generator(2).standard_normal((8, 2), np.float32))
    G, D = tensor(w, requires_grad=True), tensor(v, requires_grad=True)
    discriminator_loss = loss.discriminator((x @ D)[:, 0], ((z @ G).detach() @ D)[:, 0])
    grad_D = host(tg.grad(discriminator_loss, D))
    D1 = tensor(v - 0.01 * grad_D)
    np.testing.assert_allclose(host(model.discriminator.w), host(D1), rtol=1e-12)
    generator_loss = loss.generator((z @ G @ D1)[:, 0])
    grad_G = host(tg.grad(generator_loss, G))
    np.testing.assert_allclose(host(model.generator.w), w - 0.01 * grad_G, rtol=1e-12)
    assert float(record["discriminator_loss"]) == pytest.approx(float(discriminator_loss))
    assert float(record["generator_loss"]) == pytest.approx(float(generator_loss))
    assert float(record["discriminator_gradient"]) == pytest.approx(np.linalg.norm(grad_D))
    assert float(record["generator_gradient"]) == pytest.approx(np.linalg.norm(grad_G))
    r, f = host(x @ tensor(v))[:, 0], host(z @ G @ tensor(v))[:, 0]
    if loss.boundary is None:
        assert float(record["distance"]) == pytest.approx(r.mean() - f.mean())
    else:
        correct = ((r > loss.boundary).sum() + (f < loss.boundary).sum()) / 16
        assert float(record["accuracy"]) == pytest.approx(correct)
    names = "discriminator_at_equilibrium", "generator_at_equilibrium"
    assert tuple(map(record.get, names)) == loss.at_equilibrium


def test_the_discriminator_takes_its_steps_each_on_a_new_batch():
    _, optimizers, steps = small(discriminator_steps=3)
    assert len(list(steps)) == 3  # of ten batches; G is not updated after the tenth
    assert [o.steps for o in optimizers] == [3, 10]


def test_clipped_weights_stay_within_their_bounds():
    model, _, steps = small(loss=Wasserstein(), clip_at=0.05)
    for _ in steps:
        assert np.abs(host(model.discriminator.w)).max() <= 0.05


def test_clipped_weights_are_moved_to_the_limit_and_others_left():
    weights = [tensor([-2.0, -0.05, 0.1]), tensor([[4.0], [0.03]])]
    gan.clip(weights, 0.1)
    np.testing.assert_array_equal(host(weights[0]), [-0.1, -0.05, 0.1])
    np.testing.assert_array_equal(host(weights[1]), [[0.1], [0.03]])


def test_a_penalty_is_added_to_the_discriminators_loss_and_reported():
    model, _, steps = small(loss=Wasserstein(), penalty=partial(r1, weight=2.0))
    v = host(model.discriminator.w).copy()
    record = next(steps)
    assert float(record["penalty"]) == pytest.approx((v * v).sum())  # ∇D = w for every x
    plain, _, others = small(loss=Wasserstein())
    next(others)
    moved = host(model.discriminator.w) - host(plain.discriminator.w)
    np.testing.assert_allclose(moved, -0.01 * 2 * v, rtol=1e-6)


class Square(nn.Module):
    """D(x) = ψ x² / 2, with derivative ψ x"""

    def __init__(self):
        self.psi = tensor([3.0], requires_grad=True)

    def forward(self, x):
        return x * x * self.psi / 2


def test_r1_penalises_the_gradient_at_real_images():
    model, x = GAN(Point(5.0), Square(), 1), np.array([[1.0], [-2.0]])
    optimizers = [optim.SGD(m.parameters(), 0.1) for m in (model.generator, model.discriminator)]
    record = next(
        gan.train(model, [tensor(x)], *optimizers, rng=generator(), penalty=partial(r1, weight=4.0))
    )
    assert float(record["penalty"]) == pytest.approx(2 * (9 * x * x).mean())


@pytest.mark.parametrize("loss", [Hinge(), LeastSquares()])
def test_a_fooled_discriminator_has_an_accuracy_below_half(loss):
    model = GAN(Point(1.0), Slope(1.0, loss.boundary - 0.5), 1)  # real above ½
    optimizers = [optim.SGD(m.parameters(), 0.1) for m in (model.generator, model.discriminator)]
    batch = tensor([[0.0], [0.0], [0.0], [2.0]])
    record = next(gan.train(model, [batch], *optimizers, rng=generator(), loss=loss))
    assert float(record["accuracy"]) == 1 / 8  # one of four real images, no generated one


class Together(nn.Module):
    """ψ s² / 2 for the sum s of a pack, with derivative ψ s for each of its m elements"""

    def __init__(self):
        self.psi = tensor([1.0], requires_grad=True)

    def forward(self, x):
        return x.sum(axis=1) ** 2 * self.psi / 2


def test_the_gradient_of_a_pack_is_that_of_all_its_images():
    model = GAN(Point(5.0), Together(), 1, packing=2)
    optimizers = [optim.SGD(m.parameters(), 0.1) for m in (model.generator, model.discriminator)]
    batch = tensor([[1.0], [2.0], [3.0], [5.0]])
    record = next(
        gan.train(model, [batch], *optimizers, rng=generator(), penalty=partial(r1, weight=2.0))
    )
    assert float(record["penalty"]) == pytest.approx((2 * 3**2 + 2 * 8**2) / 2)


def test_packed_images_have_one_gradient_norm():
    model, _, steps = small(loss=Wasserstein(), packing=2, penalty=partial(r1, weight=2.0))
    v = host(model.discriminator.w).copy()
    assert float(next(steps)["penalty"]) == pytest.approx((v * v).sum())


def test_the_gradient_for_the_label_is_not_penalised():
    model, _, steps = small(loss=Wasserstein(), classes=2, penalty=partial(r1, weight=2.0))
    v = host(model.discriminator.w).copy()
    assert float(next(steps)["penalty"]) == pytest.approx((v[:3] ** 2).sum())


def test_real_and_generated_images_are_scored_with_the_same_labels():
    model, _, steps = small(classes=4)
    seen = []
    judge = model.judge
    model.judge = lambda x, labels=None: seen.append(np.asarray(labels)) or judge(x, labels)
    next(steps)
    _, labels = next(Batches(np.arange(40.0), 8, rng=generator(4), labels=np.arange(40) % 4))
    assert len(seen) == 3
    assert all((scored == host(labels)).all() for scored in seen)


def test_a_penalty_scores_each_pack_with_its_own_labels():
    seen = []

    def penalty(discriminator, real, fake, *, rng):
        seen.append(host(discriminator(real)))
        return tg.mean(discriminator(fake))

    model, _, steps = small(classes=4, packing=2, penalty=penalty)
    x, labels = generator(9).standard_normal((40, 3)), np.arange(40) % 4
    expected = host(model.judge(*next(Batches(x, 8, rng=generator(4), labels=labels))))
    next(steps)
    np.testing.assert_allclose(seen, [expected])


def test_a_resumed_loop_equals_an_uninterrupted_one():
    def parts():
        rng = generator()
        model = GAN(models.mlp([2, 8, 2], rng=rng), models.mlp([2, 8, 1], rng=rng), 2)
        optimizers = [
            optim.Adam(m.parameters(), 1e-2) for m in (model.generator, model.discriminator)
        ]
        batches = Batches(generator(1).standard_normal((30, 2)).astype("f4"), 5, rng=rng, epochs=3)
        return model, batches, optimizers, rng

    def losses(model, batches, optimizers, rng):
        for record in gan.train(model, batches, *optimizers, rng=rng, discriminator_steps=2):
            yield float(record["discriminator_loss"]), float(record["generator_loss"])

    whole = list(losses(*parts()))
    model, batches, optimizers, rng = parts()
    first = losses(model, batches, optimizers, rng)
    begun = [next(first) for _ in range(4)]
    again = parts()
    again[0].load_state_dict(model.state_dict())
    for new, old in zip([again[1], *again[2]], [batches, *optimizers], strict=True):
        new.load_state_dict(old.state_dict())
    again[3].bit_generator.state = rng.bit_generator.state
    assert begun + list(losses(*again)) == whole


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss_moves_the_samples_onto_the_data(loss):
    rng = generator()
    data = (rng.standard_normal((2000, 2)) * 0.3 + [2.0, -1.0]).astype("f4")
    g = models.mlp([2, 16, 2], rng=rng)
    model = GAN(g, models.mlp([2, 32, 1], nn.LeakyReLU(0.2), rng=rng), 2)
    penalty = partial(r1, weight=0.1)
    if loss == "wasserstein":
        penalty = partial(gradient_penalty, weight=1.0)
    optimizers = [
        optim.Adam(m.parameters(), 5e-3, (0.5, 0.9)) for m in (model.generator, model.discriminator)
    ]
    batches = Batches(data, 100, rng=rng, epochs=20)
    # the samples circle the data, so average their mean over the second half of training
    z, places = model.noise(500, rng=rng), []
    options = {"rng": rng, "loss": LOSSES[loss](), "penalty": penalty}
    for _ in gan.train(model, batches, *optimizers, **options):
        places.append(host(model.generate(z)).mean(0))
    assert np.abs(places[0] - [2, -1]).max() > 1
    np.testing.assert_allclose(np.mean(places[200:], axis=0), [2, -1], atol=0.2)
