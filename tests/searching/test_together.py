"""Members of one program get what they would get alone; what happens to one leaves the others as they are."""

import jax
import numpy as np
import pytest

from hyperinr.searching.together import Cadence, Member, group, programs_of, train_together
from hyperinr.training.evaluators import held_out_psnr
from hyperinr.training.evaluators.base import Subject
from hyperinr.training.input_pipeline import Batches, Positions
from tests.training.tiny_run import tiny_dataset
from tests.training.toy import toy_experiment

CADENCE = Cadence(log_every=2, validate_every=3, num_validation=4)


@pytest.fixture(scope='module')
def dataset():
    return tiny_dataset()


def member(dataset, **options):
    experiment = toy_experiment(**options)
    batch = dataset.splits['train'].batch(np.arange(experiment.batch_size))
    return Member(experiment, programs_of(experiment.build(dataset.spec), dataset.spec, batch))


def collect(members, dataset, *, goes_on=lambda position, step: True, num_devices=None):
    """Records by member, reasons by member, and the final states."""
    records, lost = [[] for _ in members], {}

    def report(position, step, record):
        records[position].append({'step': step, **record})
        return goes_on(position, step)

    devices = jax.local_devices()[:num_devices] if num_devices else None
    states = train_together(
        members,
        dataset,
        CADENCE,
        report=report,
        lost=lambda position, reason: lost.update({position: reason}),
        devices=devices,
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
    validation = held_out_psnr(num_datapoints=4, num_pictures=0).prepare(subject)
    losses, means, quality = [], {}, {}
    for done in range(1, experiment.num_steps + 1):
        batch = batches(done - 1)
        state, measured = update(state, batch, batch)
        losses.append(float(measured['loss']))
        if done % CADENCE.log_every == 0 or done == experiment.num_steps:
            means[done], losses = np.mean(losses), []
        if done % CADENCE.validate_every == 0 or done == experiment.num_steps:
            quality[done] = validation.measure(state).curves['psnr_db']
    return state, means, quality


@pytest.mark.parametrize('seeds', [(0, 0, 0), (0, 5, 0)])
def test_members_equal_runs_of_their_own(dataset, seeds):
    options = [{'learning_rate': rate, 'seed': seed} for rate, seed in zip((0.1, 0.02, 0.3), seeds, strict=True)]
    records, lost, states = collect([member(dataset, **each) for each in options], dataset, num_devices=2)
    assert lost == {}
    for position, each in enumerate(options):
        own, means, quality = run_alone(toy_experiment(**each), dataset)
        np.testing.assert_array_equal(jax.random.key_data(states.key[position]), jax.random.key_data(own.key))
        jax.tree.map(
            lambda a, b, row=position: np.testing.assert_allclose(a[row], b, rtol=2e-5, atol=1e-6),
            states._replace(key=None),
            own._replace(key=None),
        )
        for kind, figure, expected in (('train', 'loss', means), ('validation', 'psnr_db', quality)):
            found = {each['step']: each[figure] for each in records[position] if each['kind'] == kind}
            assert found.keys() == expected.keys()
            for step in expected:
                np.testing.assert_allclose(found[step], expected[step], rtol=2e-5)


def test_one_that_diverges_or_is_given_up_leaves_the_others(dataset):
    rates = (0.1, float('inf'), 0.02, 0.3)
    members = [member(dataset, learning_rate=rate) for rate in rates]
    records, lost, _ = collect(members, dataset, goes_on=lambda position, step: not (position == 2 and step >= 3))
    assert lost.keys() == {1}
    assert 'diverged by step 2' in lost[1]
    assert records[1] == []
    assert [each['step'] for each in records[2]] == [2, 3]
    alone, _, _ = collect([members[0], members[3]], dataset)
    for position, same in ((0, 0), (3, 1)):
        for one, other in zip(records[position], alone[same], strict=True):
            np.testing.assert_allclose(one.get('loss', 0), other.get('loss', 0), rtol=1e-6)
            assert one['step'] == other['step']


def test_when_all_are_given_up_nothing_more_is_computed(dataset):
    members = [member(dataset, learning_rate=rate) for rate in (0.1, 0.2)]
    _, _, states = collect(members, dataset, goes_on=lambda position, step: step < 4)
    assert states.step.tolist() == [4, 4]


def test_what_differs_in_more_than_numbers_is_another_program(dataset):
    options = [{}, {'learning_rate': 0.2}, {'num_steps': 9}, {'seed': 3}, {'batch_size': 4}]
    groups, differences = group([member(dataset, **each) for each in options])
    assert groups == [[0, 1, 3], [2], [4]]
    assert differences == ['num_steps: 7 against 9', 'batch_size: 8 against 4']
