"""Vector quantisation: the nearest code, gradients that pass straight through, means that run."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen import nn, optim, vae, vq
from tinygen.batches import Batches
from tinygen.vq import VQVAE, VectorQuantiser, vq_loss


def generator(seed=0):
    return np.random.default_rng(seed)


def tensor(x, **more):
    return tg.Tensor(tg.xp.asarray(np.asarray(x, float)), **more)


def quantiser(codes=5, features=3, decay=None):
    return VectorQuantiser(codes, features, rng=generator(), decay=decay).astype(float)


@given(st.integers(0, 2**32))
def test_each_vector_is_replaced_by_the_nearest_code(seed):
    q, z = quantiser(), generator(seed).standard_normal((2, 4, 4, 3))
    found = q(tensor(z))
    e = q.e.numpy()
    for index in np.ndindex(2, 4, 4):
        distances = [math.dist(z[index], code) for code in e]
        code = int(tg.to_numpy(found.codes)[index])
        assert distances[code] == pytest.approx(min(distances))
        np.testing.assert_allclose(tg.to_numpy(found.z.data)[index], e[code])


def test_the_decoders_gradient_arrives_at_the_encoder_unchanged():
    q, z = quantiser(), tensor(generator().standard_normal((2, 3, 3, 3)), requires_grad=True)
    g = generator(1).standard_normal(z.shape)
    found = tg.grad(tg.sum(q(z).z * tensor(g)), z)
    np.testing.assert_allclose(tg.to_numpy(found.data), g)


def test_the_codebook_loss_moves_only_the_codes_and_the_commitment_only_the_vectors():
    q, z = quantiser(), tensor(generator().standard_normal((2, 3, 3, 3)), requires_grad=True)
    found = q(z)
    chosen = q.e.numpy()[tg.to_numpy(found.codes)]
    difference = z.numpy() - chosen
    for term in (found.codebook, found.commitment):
        assert float(term) == pytest.approx((difference**2).sum() / 2)
    with pytest.raises(ValueError, match="does not depend on"):
        tg.grad(found.codebook, z)
    with pytest.raises(ValueError, match="does not depend on"):
        tg.grad(found.commitment, q.e)
    np.testing.assert_allclose(tg.to_numpy(tg.grad(found.commitment, z).data), difference)
    expected = np.zeros_like(q.e.numpy())
    np.add.at(expected, tg.to_numpy(found.codes), -difference)
    np.testing.assert_allclose(tg.to_numpy(tg.grad(found.codebook, q.e).data), expected)


def test_a_codebook_of_running_means_follows_the_formulas_and_is_no_parameter():
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


def test_a_code_that_nobody_chooses_stays_where_it_is():
    q = quantiser(codes=2, features=2, decay=0.5)
    q.e.data = tg.xp.asarray([[0.5, 0.5], [100.0, 50.0]])
    q.total = tg.xp.array(q.e.data)
    for _ in range(100):
        q(tensor(generator().random((10, 2, 2, 2))))
    np.testing.assert_allclose(q.e.numpy()[1], [100, 50], rtol=1e-6)


def test_a_code_that_nobody_chooses_moves_to_where_vectors_are():
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


@pytest.mark.parametrize("decay", [None, 0.99])
def test_after_few_steps_already_it_is_known_which_codes_nobody_chooses(decay):
    q = quantiser(codes=4, features=2, decay=decay)
    q.e.data = tg.xp.asarray([[0.0, 0], [1, 1], [100, 100], [200, 200]])
    q.total = tg.xp.array(q.e.data)
    z = tensor(generator().random((10, 2, 2, 2)))
    assert q.restart(z, rng=generator()) == 0  # of nothing chosen yet nothing is known
    for _ in range(5):
        q(z)
    assert q.restart(z, rng=generator()) == 2
    assert q.restart(z, rng=generator()) == 0  # they have time to be chosen
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
        reconstruction + 0.5 * squares)  # fmt: skip


@pytest.mark.parametrize("decay", [None, 0.9])
def test_training_lowers_the_loss_and_an_image_comes_back_from_its_codes(decay):
    rng = generator(2)
    patterns = np.repeat(np.repeat(rng.integers(0, 2, (4, 2, 2)), 2, 1), 2, 2)[..., None]
    images = patterns[np.arange(64) % 4].astype(float)
    model = small(decay)
    batches = Batches(images, 16, rng=rng, epochs=100)
    optimizer = optim.Adam(model.parameters(), 0.02)
    losses = [terms["reconstruction"] for terms in
              vae.train(model, batches, optimizer, rng=rng, bound=vq_loss)]  # fmt: skip
    assert float(losses[-1]) < 0.2 * float(losses[0])
    codes = model.codes(tensor(images[:4]))
    assert codes.shape == (4, 2, 2)
    np.testing.assert_allclose(model.images(codes), images[:4], atol=0.2)


def test_to_measure_the_loss_moves_no_code():
    model = small(0.9)
    before = model.state_dict()
    vae.evaluate(model, generator(1).random((5, 4, 4, 1)), rng=generator(), bound=vq_loss, size=2)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert model.quantiser.training


def test_a_decoder_whose_output_only_broadcasts_against_the_images_is_refused():
    model = small()
    model.decoder = nn.Sequential(model.decoder, nn.Flatten())
    with pytest.raises(ValueError, match=r"expected the decoder to give \(1, 4, 4, 1\), as the "
                                         r"images are, got \(1, 16\)$"):  # fmt: skip
        vq_loss(model, tensor(np.zeros((1, 4, 4, 1))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VectorQuantiser(0, 3, rng=generator()),
         "VectorQuantiser: expected `codes` to be an int ≥ 1, got 0"),
        (lambda: VectorQuantiser(2, 3, rng=generator(), decay=1.0),
         "VectorQuantiser: expected `decay` between 0 and 1, got 1.0"),
        (lambda: quantiser()(tensor(np.ones((2, 4)))),
         "VectorQuantiser: expected vectors of 3 features on the last axis, got (2, 4)"),
    ],
)  # fmt: skip
def test_what_can_not_be_meant_is_refused(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_the_public_names_are_there():
    assert all(hasattr(vq, name) for name in vq.__all__)
