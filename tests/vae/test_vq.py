"""Vector quantisation: nearest codes, straight-through gradients, running means."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import gradcheck, nn, optim, vae
from tinygen.data import Batches
from tinygen.vae import vq
from tinygen.vae.vq import VQVAE, VectorQuantiser, vq_loss


def generator(seed=0):
    return np.random.default_rng(seed)


def tensor(x, **more):
    return tg.Tensor(tg.xp.asarray(np.asarray(x, float)), **more)


def quantiser(codes=5, features=3, decay=None):
    return VectorQuantiser(codes, features, rng=generator(), decay=decay).astype(float)


@given(st.integers(0, 2**32))
def test_each_vector_is_replaced_by_the_nearest_code(seed):
    q, z = quantiser(), generator(seed).standard_normal((2, 4, 4, 3))
    quantised = q(tensor(z))
    e = q.e.numpy()
    for index in np.ndindex(2, 4, 4):
        distances = [math.dist(z[index], code) for code in e]
        code = int(tg.to_numpy(quantised.codes)[index])
        assert distances[code] == pytest.approx(min(distances))
        np.testing.assert_allclose(tg.to_numpy(quantised.z.data)[index], e[code])


def test_codes_far_from_the_origin_are_told_apart_in_float32():
    q = VectorQuantiser(50, 3, rng=generator())
    e = generator(1).standard_normal((50, 3))
    q.e.data = tg.xp.asarray(e + 3000, np.float32)
    z = (e + 3000 + 0.05 * generator(2).standard_normal(e.shape)).astype(np.float32)
    exact = ((z[:, None].astype(float) - q.e.numpy().astype(float)) ** 2).sum(2).argmin(1)
    np.testing.assert_array_equal(tg.to_numpy(q.nearest(tg.xp.asarray(z))), exact)


def test_the_decoders_gradient_arrives_at_the_encoder_unchanged():
    q, z = quantiser(), tensor(generator().standard_normal((2, 3, 3, 3)), requires_grad=True)
    g = generator(1).standard_normal(z.shape)
    at_encoder = tg.grad(tg.sum(q(z).z * tensor(g)), z)
    np.testing.assert_allclose(tg.to_numpy(at_encoder.data), g)


def test_the_codebook_loss_moves_only_the_codes_and_the_commitment_only_the_vectors():
    q, z = quantiser(), tensor(generator().standard_normal((2, 3, 3, 3)), requires_grad=True)
    quantised = q(z)
    chosen = q.e.numpy()[tg.to_numpy(quantised.codes)]
    difference = z.numpy() - chosen
    for term in (quantised.codebook, quantised.commitment):
        assert float(term) == pytest.approx((difference**2).sum() / 2)
    with pytest.raises(ValueError, match="does not depend on"):
        tg.grad(quantised.codebook, z)
    with pytest.raises(ValueError, match="does not depend on"):
        tg.grad(quantised.commitment, q.e)
    np.testing.assert_allclose(tg.to_numpy(tg.grad(quantised.commitment, z).data), difference)
    expected = np.zeros_like(q.e.numpy())
    np.add.at(expected, tg.to_numpy(quantised.codes), -difference)
    np.testing.assert_allclose(tg.to_numpy(tg.grad(quantised.codebook, q.e).data), expected)


def test_a_codebook_of_running_means_is_its_formula_and_not_a_parameter():
    q, z = quantiser(decay=0.9), generator().standard_normal((2, 4, 4, 3))
    assert q.parameters() == []
    e = q.e.numpy().copy()
    codes = tg.to_numpy(q(tensor(z)).codes)
    counts = np.ones(5)
    total = e.copy()
    for k in range(5):
        mine = z[codes == k]
        counts[k] = 0.9 * counts[k] + 0.1 * len(mine)
        total[k] = 0.9 * total[k] + 0.1 * mine.sum(0)
    np.testing.assert_allclose(q.e.numpy(), total / counts[:, None])
    before = q.e.numpy().copy()
    q.eval()
    q(tensor(z))
    np.testing.assert_array_equal(q.e.numpy(), before)


def test_running_means_find_the_clusters():
    rng = generator(3)
    centres = np.array([[4.0, 0, 0], [0, 4, 0], [0, 0, 4], [-4, 0, 0], [0, -4, 0]])
    q = quantiser(decay=0.9)
    q.e.data = tg.xp.asarray(centres + rng.normal(0, 0.5, centres.shape))
    q.total = tg.xp.array(q.e.data)
    for _ in range(100):
        q(tensor(centres[rng.integers(5, size=(20, 3, 3))] + rng.normal(0, 0.1, (20, 3, 3, 3))))
    np.testing.assert_allclose(q.e.numpy(), centres, atol=0.05)


def test_an_unused_code_does_not_change():
    q = quantiser(codes=2, features=2, decay=0.5)
    q.e.data = tg.xp.asarray([[0.5, 0.5], [100.0, 50.0]])
    q.total = tg.xp.array(q.e.data)
    for _ in range(100):
        q(tensor(generator().random((10, 2, 2, 2))))
    np.testing.assert_allclose(q.e.numpy()[1], [100, 50], rtol=1e-6)


def test_restart_moves_unused_codes_onto_vectors():
    q = quantiser(codes=4, features=2, decay=0.5)
    q.e.data = tg.xp.asarray([[0.0, 0], [1, 1], [100, 100], [200, 200]])
    q.total = tg.xp.array(q.e.data)
    z = tensor(generator().random((10, 2, 2, 2)))
    for _ in range(20):
        q(z)
    assert q.restart(z, rng=generator()) == 2
    rows = z.numpy().reshape(-1, 2)
    for code in q.e.numpy()[2:]:
        assert (np.abs(rows - code).sum(1) < 1e-12).any()
    assert q.restart(z, rng=generator()) == 0


def test_a_moved_code_restarts_its_running_mean():
    q, z = quantiser(codes=4, features=2, decay=0.5), generator().random((10, 2, 2, 2))
    q.e.data = tg.xp.asarray([[0.0, 0], [1, 1], [100, 100], [200, 200]])
    q.total = tg.xp.array(q.e.data)
    for _ in range(20):
        q(tensor(z))
    assert q.restart(tensor(z), rng=generator()) == 2
    e, chosen = q.e.numpy(), tg.to_numpy(q.chosen)[:, None]
    one_hot = np.eye(4)[tg.to_numpy(q(tensor(z)).codes).ravel()]
    counts, sums = one_hot.sum(0)[:, None], one_hot.T @ z.reshape(-1, 2)
    np.testing.assert_allclose(q.e.numpy(), (chosen * e + sums) / (chosen + counts))


@pytest.mark.parametrize("decay", [None, 0.99])
def test_unused_codes_are_found_after_a_few_steps(decay):
    q = quantiser(codes=4, features=2, decay=decay)
    q.e.data = tg.xp.asarray([[0.0, 0], [1, 1], [100, 100], [200, 200]])
    q.total = tg.xp.array(q.e.data)
    z = tensor(generator().random((10, 2, 2, 2)))
    assert q.restart(z, rng=generator()) == 0  # nothing is known before the first step
    for _ in range(5):
        q(z)
    assert q.restart(z, rng=generator()) == 2
    assert q.restart(z, rng=generator()) == 0  # moved codes get time to be chosen
    q.e.data = tg.xp.asarray([[0.0, 0], [1, 1], [100, 100], [200, 200]])
    q.total = q.e.data * q.chosen[:, None]
    for _ in range(400):
        q(z)
    assert q.restart(z, rng=generator()) == 2


def small(decay=None):
    rng = generator()
    encoder = nn.Conv2d(1, 3, 2, 2, rng=rng)
    decoder = nn.ConvTranspose2d(3, 1, 2, 2, rng=rng)
    return VQVAE(encoder, VectorQuantiser(6, 3, rng=rng, decay=decay), decoder).astype(float)


def test_the_loss_is_its_formula():
    model, x = small(), tensor(generator(1).random((3, 4, 4, 1)))
    terms = vq_loss(model, x, beta=0.5)
    z = model.encoder(x)
    q = model.quantiser(z)
    decoded = model.decoder(tg.as_tensor(q.z.data))
    p = tg.to_numpy(tg.sigmoid(decoded).data)
    reconstruction = -(x.numpy() * np.log(p) + (1 - x.numpy()) * np.log(1 - p)).sum() / 3
    squares = ((z.numpy() - tg.to_numpy(q.z.data)) ** 2).sum() / 3
    assert float(terms.reconstruction) == pytest.approx(reconstruction)
    assert float(terms.loss) == pytest.approx(reconstruction + 1.5 * squares)
    counts = np.bincount(tg.to_numpy(q.codes).ravel(), minlength=6) / 12
    entropy = -sum(c * math.log(c) for c in counts if c)
    assert terms.perplexity == pytest.approx(math.exp(entropy))
    assert float(vq_loss(small(0.9), x, beta=0.5).loss) == pytest.approx(
        reconstruction + 0.5 * squares
    )


@pytest.mark.parametrize("decay", [None, 0.9])
def test_each_part_gets_the_gradient_of_its_own_terms(decay):
    model, x = small(decay).eval(), tensor(generator(1).random((3, 4, 4, 1)))
    params = model.parameters()
    gradients = tg.grad(vq_loss(model, x, beta=0.3).loss, params)
    z = model.encoder(x)
    codes = tg.to_numpy(model.quantiser.nearest(z))
    z_q = tensor(model.quantiser.e.numpy()[codes], requires_grad=True)
    reconstruction = -tg.mean(model.likelihood.log_prob(x, model.decoder(z_q)))
    away = 2 * (z.numpy() - z_q.numpy()) / 3
    at_z = tg.grad(reconstruction, z_q).numpy() + 0.3 * away
    at_e = np.zeros(model.quantiser.e.shape)
    np.add.at(at_e, codes, -away)
    expected = tg.grad(tg.sum(z * tensor(at_z)), model.encoder.parameters())
    expected += [tensor(at_e)] if decay is None else []
    expected += tg.grad(reconstruction, model.decoder.parameters())
    assert len(params) == len(expected)
    for p, g, e in zip(params, gradients, expected, strict=True):
        np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-9, atol=1e-12, err_msg=p.name)


def test_the_decoders_gradients_pass_gradcheck():
    model, x = small(), tensor(generator(1).random((3, 4, 4, 1)))

    def loss(weight, bias):
        model.decoder.weight, model.decoder.bias = weight, bias
        return vq_loss(model, x).loss

    gradcheck(loss, model.decoder.weight, model.decoder.bias, order=2)


@pytest.mark.parametrize("decay", [None, 0.9])
def test_training_lowers_the_loss_and_codes_reconstruct_the_images(decay):
    rng = generator(2)
    patterns = np.repeat(np.repeat(rng.integers(0, 2, (4, 2, 2)), 2, 1), 2, 2)[..., None]
    images = patterns[np.arange(64) % 4].astype(float)
    model = small(decay)
    batches = Batches(images, 16, rng=rng, epochs=100)
    optimizer = optim.Adam(model.parameters(), 0.02)
    losses = [
        terms["reconstruction"]
        for terms in vae.train(model, batches, optimizer, rng=rng, bound=vq_loss)
    ]
    assert float(losses[-1]) < 0.2 * float(losses[0])
    codes = model.codes(tensor(images[:4]))
    assert codes.shape == (4, 2, 2)
    np.testing.assert_allclose(model.images(codes), images[:4], atol=0.2)


def test_evaluating_the_loss_moves_no_code():
    model = small(0.9)
    before = model.state_dict()
    vae.evaluate(model, generator(1).random((5, 4, 4, 1)), rng=generator(), bound=vq_loss, size=2)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert model.quantiser.training


MEASURES = {
    "codes": lambda model, x: tg.to_numpy(model.codes(x)),
    "images": lambda model, x: model.images(np.arange(12).reshape(3, 2, 2) % 6),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_codes_and_images_use_evaluation_mode_and_change_nothing(measure):
    model, x = small(0.9), tensor(generator(1).random((3, 4, 4, 1)))
    for part, channels in (("encoder", 3), ("decoder", 1)):
        dropout, norm = nn.Dropout(0.5, rng=generator(1)), nn.BatchNorm(channels).astype(float)
        setattr(model, part, nn.Sequential(dropout, getattr(model, part), norm))
    vq_loss(model, x)  # to update the running statistics
    model.encoder[0].eval()  # some layers in each mode
    before, modes = model.state_dict(), [module.training for _, module in model.named_modules()]
    result = measure(model, x)
    np.testing.assert_array_equal(measure(model, x), result)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert [module.training for _, module in model.named_modules()] == modes
    np.testing.assert_array_equal(measure(model.eval(), x), result)


def test_a_decoder_whose_output_only_broadcasts_against_the_images_is_refused():
    model = small()
    model.decoder = nn.Sequential(model.decoder, nn.Flatten())
    with pytest.raises(ValueError, match=r"\(1, 16\).*\(1, 4, 4, 1\)"):
        vq_loss(model, tensor(np.zeros((1, 4, 4, 1))))


one = tensor(np.ones((1, 4, 4, 1)))


@pytest.mark.parametrize(
    ("call", "error", "pattern"),
    [
        (lambda: VectorQuantiser(0, 3, rng=generator()), ValueError, "`codes`.* ≥ 1, got 0"),
        (lambda: quantiser(decay=1.0), ValueError, r"`decay` in \(0, 1\), got 1.0"),
        (lambda: quantiser(decay="0.9"), TypeError, r"`decay` in \(0, 1\), got str"),
        (lambda: quantiser()(one[0, :2, :, 0]), ValueError, "4.*3|3.*4"),
        (lambda: quantiser().nearest(one[0, :3, :2, 0]), ValueError, "2.*3|3.*2"),
        (lambda: quantiser().restart(one[0, :3, :2, 0], rng=generator(), below=2), ValueError, "2"),
        (
            lambda: quantiser().restart(one[0, :0, :3, 0], rng=generator(), below=2),
            ValueError,
            "high",
        ),
        (lambda: small().images(np.array([[[6, 1]]])), IndexError, "< 6, got 1 to 6"),
        (lambda: small().images(np.array([[[-1, 5]]])), IndexError, "-1 to 5"),
        (lambda: small().images(np.array([[[0.0, 1.0]]])), IndexError, "integer"),
        (lambda: vq_loss(small(), one, beta=-1.0), ValueError, "`beta` ≥ 0, got -1.0"),
        (lambda: vq_loss(small(), one, beta=math.nan), ValueError, "`beta` ≥ 0, got nan"),
        (lambda: vq_loss(small(), tg.xp.ones((1, 4, 4, 1), "u1")), ValueError, "uint8"),
    ],
)
def test_invalid_arguments_are_refused(call, error, pattern):
    with pytest.raises(error, match=pattern):
        call()


def test_every_public_name_exists():
    assert all(hasattr(vq, name) for name in vq.__all__)
