"""Members of one program get what they would get alone; what happens to one leaves the others as they are."""

import jax
import numpy as np
import pytest

from hyperinr import config, meta_learning
from hyperinr.errors import RunError
from hyperinr.searching.vmapped import Member, difference, numbers_in_state, train_vmapped
from hyperinr.training.devices import pack
from hyperinr.training.input_pipeline import Batches, Positions
from hyperinr.training.watching.evaluators import held_out_psnr
from hyperinr.training.watching.evaluators.base import Subject
from tests.tiny_runs import DEFAULT
from tests.training.tiny_run import tiny_dataset
from tests.training.toy import toy_experiment

NUM_STEPS, LOG_EVERY, VALIDATE_EVERY = 7, 2, 3
EVALUATOR = held_out_psnr(every=f'{VALIDATE_EVERY} steps', num_datapoints=4, num_pictures=0)


@pytest.fixture(scope='module')
def dataset():
    return tiny_dataset()


class GivenUpError(Exception):
    pass


def collect(members, dataset, *, goes_on=lambda position, step: True):
    """Records by member, reasons by member, and the final states."""
    records, lost = [[] for _ in members], {}
    optimizer = numbers_in_state(meta_learning.adam_cosine, members[0].numbers)(num_steps=NUM_STEPS)

    def report(position, step, kind, findings):
        records[position].append({'step': step, 'kind': kind, **findings.figures, **findings.curves})
        if not goes_on(position, step):
            raise GivenUpError

    def stopped(position, error):
        if not isinstance(error, GivenUpError):
            lost[position] = error

    states = train_vmapped(
        toy_experiment(num_steps=NUM_STEPS, optimizer=optimizer),
        members,
        dataset,
        log_every=LOG_EVERY,
        evaluator=EVALUATOR,
        report=report,
        stopped=stopped,
    )
    return records, lost, states


def run_alone(experiment, dataset):
    """The plain loop: final state, means of the loss by step, validation by step."""
    learner = experiment.build(dataset.spec)
    source = dataset.splits['train']
    batches = Batches(source, dataset.spec, Positions(len(source), experiment.batch_size, experiment.seed))
    update = jax.jit(learner.update)
    state = learner.init(jax.random.key(experiment.seed), jax.tree.map(lambda leaf: leaf[0], batches(0)))
    subject = Subject(learner, dataset, batches, jax.local_devices()[:1], jax.eval_shape(lambda: state))
    validation = EVALUATOR.prepare(subject)
    losses, means, quality = [], {}, {}
    for done in range(1, experiment.num_steps + 1):
        batch = batches(done - 1)
        state, measured = update(state, batch, batch)
        losses.append(float(measured['loss']))
        if done % LOG_EVERY == 0 or done == experiment.num_steps:
            means[done], losses = np.mean(losses), []
        if done % VALIDATE_EVERY == 0 or done == experiment.num_steps:
            quality[done] = validation.measure(state).curves['psnr_db']
    return pack(state), means, quality


@pytest.mark.parametrize('seeds', [(0, 0, 0), (0, 5, 0)])
def test_members_equal_runs_of_their_own(dataset, seeds):
    numbers = [
        {'learning_rate': rate, 'clip_norm': clip, 'b2': b2, 'weight_decay': decay}
        for rate, clip, b2, decay in ((0.1, 1.0, 0.99, 0.0), (0.02, 0.1, 0.9, 0.1), (0.3, 5.0, 0.95, 0.01))
    ]
    members = [Member(seed, each) for seed, each in zip(seeds, numbers, strict=True)]
    records, lost, states = collect(members, dataset)
    assert lost == {}
    for position, (seed, each) in enumerate(members):
        optimizer = meta_learning.adam_cosine(num_steps=NUM_STEPS, **each)
        own, means, quality = run_alone(toy_experiment(num_steps=NUM_STEPS, optimizer=optimizer, seed=seed), dataset)
        np.testing.assert_array_equal(states.key[position], own.key)
        jax.tree.map(
            lambda a, b, row=position: np.testing.assert_allclose(a[row], b, rtol=1e-4, atol=1e-5),
            (states.params, states.average),
            (own.params, own.average),
        )
        for kind, figure, expected in (('train', 'loss', means), ('validation', 'psnr_db', quality)):
            found = {each['step']: each[figure] for each in records[position] if each['kind'] == kind}
            assert found.keys() == expected.keys()
            for step in expected:
                np.testing.assert_allclose(found[step], expected[step], rtol=1e-4)


def test_one_that_diverges_or_is_given_up_leaves_the_others(dataset):
    members = [Member(0, {'learning_rate': rate}) for rate in (0.1, float('inf'), 0.02, 0.3)]
    records, lost, _ = collect(members, dataset, goes_on=lambda position, step: not (position == 2 and step >= 3))
    assert lost.keys() == {1}
    assert isinstance(lost[1], RunError)
    assert 'diverged by step' in str(lost[1])
    assert len(records[1]) <= 1
    assert [each['step'] for each in records[2]] == [2, 3]
    alone, _, _ = collect([members[0], members[3]], dataset)
    for position, same in ((0, 0), (3, 1)):
        for one, other in zip(records[position], alone[same], strict=True):
            np.testing.assert_allclose(one.get('loss', 0), other.get('loss', 0), rtol=1e-5)
            assert one['step'] == other['step']


def test_when_all_are_given_up_nothing_more_is_computed(dataset):
    members = [Member(0, {'learning_rate': rate}) for rate in (0.1, 0.2)]
    _, _, states = collect(members, dataset, goes_on=lambda position, step: step < 4)
    assert states.step.tolist() == [4, 4]


@pytest.mark.parametrize(
    ('binding', 'name'),
    [
        ('SEED=7', None),
        ('adam_cosine.learning_rate=0.01', None),
        ('adam_cosine.weight_decay=0.01', None),
        ('adam_cosine.warmup_steps=3', 'meta_learning.adam_cosine.warmup_steps'),
        ('adam_cosine.clip_norm=None', 'meta_learning.adam_cosine.clip_norm'),
        ('NUM_STEPS=9', 'experiment.experiment.num_steps'),
        ('siren.omega_0=20.0', 'inrs.siren.omega_0'),
    ],
)
def test_configs_run_in_one_program_if_they_differ_only_in_seed_and_numbers_of_the_optimiser(binding, name):
    assert difference(config.load_config(DEFAULT), config.load_config(DEFAULT, [binding])) == name
