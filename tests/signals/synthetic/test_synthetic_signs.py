"""Every label must show in the signal: signs measured on samples, not read from the plan."""

import numpy as np
import pytest
from scipy.signal import butter, find_peaks, sosfiltfilt

from deepecg_jax.signals.contract import STANDARD_LEADS
from deepecg_jax.signals.synthetic import FINDINGS, generate
from deepecg_jax.signals.synthetic.generate import plan
from deepecg_jax.signals.synthetic.rhythm import ATRIAL_EARLY, DOMINANT, ECTOPIC

RATE = 250
N = 500
LEAD = {name: place for place, name in enumerate(STANDARD_LEADS)}


@pytest.fixture(scope="module")
def truth():
    return plan(np.arange(N))


@pytest.fixture(scope="module")
def clean():
    return generate(np.arange(N), noise=0.0)


@pytest.fixture(scope="module")
def noisy():
    return generate(np.arange(N))


@pytest.fixture(scope="module")
def column(clean):
    return {name: clean.labels[:, place] == 1 for place, name in enumerate(FINDINGS)}


def mean_beat(signal, truth, record, before=0.40, after=0.60, kind=DOMINANT):
    """Average of a recording's beats of one kind, time 0 at the onset of the QRS: (T, 12)."""
    times = truth.rhythm.times[record]
    fits = (times > before) & (times < 10.0 - after) & (truth.rhythm.kinds[record] == kind)
    grid = np.arange(-before, after, 1 / RATE)
    where = np.arange(signal.shape[1]) / RATE
    beats = [
        np.stack([np.interp(grid + t, where, signal[record, :, k]) for k in range(12)], axis=1)
        for t in times[fits]
    ]
    return grid, np.mean(beats, axis=0)


def detected_beats(signal):
    """Times of QRS complexes by their energy from 8 to 20 Hz, blind to the plan."""
    band = butter(3, (8.0, 20.0), btype="bandpass", fs=RATE, output="sos")
    filtered = sosfiltfilt(band, signal, axis=0)
    energy = np.median(np.abs(filtered), axis=1)
    energy = np.convolve(energy, np.ones(20) / 20, mode="same")
    # The tallest moment of each second is a QRS in most seconds.
    height = 0.45 * np.median(energy.reshape(10, -1).max(axis=1))
    peaks, _ = find_peaks(energy, height=height, distance=70)
    return peaks / RATE


def first(flags, count):
    return np.nonzero(flags)[0][:count]


def test_waves_of_a_normal_ecg(clean, truth, column):
    for record in first(column["Normal"] & (truth.rhythm.mean_rate < 90), 40):
        grid, beat = mean_beat(clean.signal, truth, record)
        beat = beat - beat[(grid > -0.04) & (grid < -0.02)].mean(axis=0)
        qrs = beat[(grid > 0) & (grid < 0.11)]
        assert qrs[:, LEAD["aVR"]].sum() < 0, "aVR points away from the heart"
        r = qrs.max(axis=0)
        s = -qrs.min(axis=0)
        ratio = r[6:] / (r[6:] + s[6:])
        assert ratio[0] < 0.5 < ratio[4], "R grows from V1 to V5"
        p = beat[(grid > -truth.beats.pr[record]) & (grid < -0.03), LEAD["II"]].max()
        t = beat[(grid > 0.15) & (grid < 0.45)]
        assert 0.015 < p < 0.4
        assert t[:, LEAD["V4"]].max() > 0.05


def test_rate_labels_agree_with_detected_beats(noisy, truth, column):
    usual = ~column["Ventricular paced"] & ~column["Premature ventricular complex"]
    wrong = []
    for record in first(usual & ~column["Low voltage"], 200):
        times = detected_beats(noisy.signal[record])
        rate = 60.0 * (len(times) - 1) / (times[-1] - times[0])
        error = abs(rate / truth.rhythm.mean_rate[record] - 1.0)
        slow, fast = column["Bradycardia"][record], column["Sinus tachycardia"][record]
        if error > 0.05 or (slow and rate > 63) or (fast and rate < 96):
            wrong.append((record, rate))
    assert len(wrong) <= 8, wrong


def test_fibrillation_is_irregular_and_has_no_p_wave(clean, truth, column):
    fibrillating = first(column["Irregularly irregular"], 30)
    regular = first(column["Normal"], 30)

    def irregularity(record):
        intervals = np.diff(detected_beats(clean.signal[record]))
        return intervals.std() / intervals.mean()

    def p_locked(record):
        """Share of what happens before the QRS that is the same before every QRS."""
        times = truth.rhythm.times[record, truth.rhythm.kinds[record] == DOMINANT]
        starts = np.rint((times[(times > 0.3) & (times < 9.5)] - 0.17) * RATE).astype(int)
        spans = np.stack([clean.signal[record, s : s + 33, LEAD["II"]] for s in starts])
        return spans.mean(axis=0).var() / spans.var(axis=1).mean()

    assert np.median([irregularity(r) for r in fibrillating]) > 0.12
    assert np.median([irregularity(r) for r in regular]) < 0.05
    assert np.median([p_locked(r) for r in regular]) > 0.8
    assert np.median([p_locked(r) for r in fibrillating]) < 0.4


def test_fibrillatory_waves_fill_the_rest(clean, truth, column):
    """Between T and the time of P, V1 of a fibrillating heart keeps moving; a sinus one rests."""

    def rest(record):
        times, lengths = truth.rhythm.times[record], truth.rhythm.intervals[record]
        spans = []
        for time, length in zip(times[1:], lengths[1:], strict=True):
            low, high = int((time - length + 0.55) * RATE), int((time - 0.26) * RATE)
            if low >= 0 and high <= 2500 and high - low > 30:
                spans.append(np.std(clean.signal[record, low:high, LEAD["V1"]]))
        return np.mean(spans) if spans else np.nan

    moving = np.array([rest(r) for r in first(column["Afib"], 40)])
    resting = np.array([rest(r) for r in first(column["Sinusal"] & column["Bradycardia"], 40)])
    assert min(np.isfinite(moving).sum(), np.isfinite(resting).sum()) >= 10
    assert np.nanmin(moving) > 0.004
    assert np.nanmedian(moving) > 0.012
    assert np.nanmedian(resting) < 0.003


def qrs_width(signal, truth, record):
    """Duration in s for which the spatial speed exceeds 7 % of its maximum, to the first rest."""
    grid, beat = mean_beat(signal, truth, record, before=0.06, after=0.26)
    speed = np.sqrt((np.gradient(beat, axis=0) ** 2).sum(axis=1))
    active = np.nonzero(speed > 0.07 * speed.max())[0]
    rests = np.nonzero(np.diff(active) > 5)[0]
    last = active[rests[0]] if len(rests) else active[-1]
    return grid[last] - grid[active[0]]


@pytest.mark.parametrize("name", ["Left bundle branch block", "Right bundle branch block"])
def test_bundle_branch_blocks_are_wide(clean, truth, column, name):
    wide = np.array([qrs_width(clean.signal, truth, r) for r in first(column[name], 15)])
    narrow = np.array([qrs_width(clean.signal, truth, r) for r in first(column["Normal"], 30)])
    assert len(wide) >= 10
    assert np.median(wide) > 0.118
    assert np.median(narrow) < 0.105
    assert np.percentile(wide, 20) > np.percentile(narrow, 80)


def test_bundle_branch_blocks_have_their_shape(clean, truth, column):
    alone = ~column["Low voltage"]
    for record in first(column["Left bundle branch block"] & alone, 12):
        grid, beat = mean_beat(clean.signal, truth, record)
        qrs = beat[(grid > 0) & (grid < truth.beats.qrs[record])]
        assert qrs[:, LEAD["V1"]].sum() < 0 < qrs[:, LEAD["V6"]].sum()
        t = beat[(grid > 0.2) & (grid < 0.45)] - beat[(grid > -0.04) & (grid < -0.02)].mean(axis=0)
        assert t[:, LEAD["V6"]].min() < -0.03, "T is discordant in V6"
    for record in first(column["Right bundle branch block"] & alone, 12):
        grid, beat = mean_beat(clean.signal, truth, record)
        width = truth.beats.qrs[record]
        late = beat[(grid > 0.58 * width) & (grid < 0.85 * width)]
        assert late[:, LEAD["V1"]].max() > 0.1, "a late R' in V1"
        assert late[:, LEAD["V6"]].min() < -0.05, "a late S in V6"


def st_levels(signal, truth, record):
    grid, beat = mean_beat(signal, truth, record, before=0.1)
    base = beat[(grid > -0.04) & (grid < -0.015)].mean(axis=0)
    after = truth.beats.qrs[record] + 0.02
    return beat[np.abs(grid - after) < 0.006].mean(axis=0) - base


def test_st_elevation_is_in_its_leads(clean, truth, column):
    other = column["Left ventricular hypertrophy"] | column["Right bundle branch block"]
    inferior = column["ST elevation (inferior - II, III, aVF)"] & ~other
    anterior = column["ST elevation (anterior - V3-V4)"] & ~other
    assert min(inferior.sum(), anterior.sum()) >= 8
    for record in first(inferior, 20):
        level = st_levels(clean.signal, truth, record)
        assert np.sort(level[[LEAD["II"], LEAD["III"], LEAD["aVF"]]])[-2] > 0.07
        assert level[LEAD["aVL"]] < 0, "reciprocal depression"
    for record in first(anterior, 20):
        level = st_levels(clean.signal, truth, record)
        assert min(level[LEAD["V3"]], level[LEAD["V4"]]) > 0.06
        assert level[LEAD["III"]] < 0.03
    normal = np.array([st_levels(clean.signal, truth, r) for r in first(column["Normal"], 40)])
    assert np.percentile(np.abs(normal[:, [LEAD["II"], LEAD["aVF"]]]), 90) < 0.1


def test_qt_by_the_tangent(clean, truth, column):
    """The tangent to the steepest end of T, in the lead with the tallest T, then Fridericia."""
    usual = column["Sinusal"] & column["Regular"] & ~column["Ventricular paced"]
    usual &= ~(truth.beats.left_block | truth.beats.right_block) & ~column["Low voltage"]
    usual &= ~column["Left ventricular hypertrophy"] & (truth.rhythm.mean_rate < 78)
    records = first(usual, 160)
    prolonged = column["Prolonged QT"][records]
    measured, tall = [], []
    for record in records:
        grid, beat = mean_beat(clean.signal, truth, record, before=0.1, after=0.62)
        late = (grid > 0.17) & (grid < 0.53)
        lead = np.ptp(beat[late], axis=0).argmax()
        wave = beat[late, lead] - beat[(grid > -0.04) & (grid < -0.02), lead].mean()
        wave = wave * np.sign(wave[np.abs(wave).argmax()])
        tall.append(np.ptp(wave) > 0.15)
        slope = np.gradient(wave, 1 / RATE)
        peak = wave.argmax()
        steep = peak + slope[peak:].argmin()
        end = grid[late][steep] - wave[steep] / slope[steep]
        measured.append(end / np.cbrt(60.0 / truth.rhythm.mean_rate[record]))
    # In a flat T wave the ST segment has a say in which slope is the steepest.
    records, prolonged, measured = records[tall], prolonged[tall], np.array(measured)[tall]
    assert len(records) > 60 and prolonged.sum() >= 3
    error = measured - truth.beats.qtc[records]
    assert abs(np.median(error)) < 0.010
    assert np.percentile(np.abs(error), 90) < 0.020
    limit = np.where(truth.traits.female[records], 0.46, 0.45)
    clear = np.abs(truth.beats.qtc[records] - limit) > 0.02
    assert ((measured >= limit) == prolonged)[clear].mean() > 0.97


def test_pr_label_shows(clean, truth, column):
    """The P wave begins more than 0.2 s before the QRS: there is a slope there."""

    def early_p(record):
        grid, beat = mean_beat(clean.signal, truth, record)
        part = (grid > -truth.beats.pr[record]) & (grid < -truth.beats.pr[record] + 0.09)
        return grid[part][np.abs(beat[part, LEAD["II"]] - beat[part, LEAD["II"]][0]).argmax()]

    usual = truth.rhythm.mean_rate < 90
    block = [early_p(r) for r in first(column["1st degree AV block"] & usual, 12)]
    normal = [early_p(r) for r in first(column["Normal"] & usual, 25)]
    assert max(block) < -0.11
    assert np.median(block) < np.median(normal) - 0.03


def test_pacing_spikes(clean, truth, column):
    """One or two samples of very high curvature, 4 to 24 ms before each paced QRS."""
    records = first(column["Ventricular paced"], 15)
    assert len(records) >= 10
    for record in records:
        signal = clean.signal[record]
        curvature = np.abs(np.diff(signal, 2, axis=0)).max(axis=1)
        view = truth.rhythm.in_view[record]
        paced = view & (truth.rhythm.kinds[record] == DOMINANT)
        for onset in truth.rhythm.times[record, paced]:
            at = int(round(onset * RATE))
            before = curvature[max(at - 8, 0) : at + 1].max()
            inside = np.median(curvature[at + 5 : at + 40])
            assert before > 3 * inside
            assert before > 0.05
    for record in first(column["Normal"], 20):
        curvature = np.abs(np.diff(clean.signal[record], 2, axis=0)).max(axis=1)
        for onset in truth.rhythm.times[record, truth.rhythm.in_view[record]]:
            at = int(round(onset * RATE))
            assert curvature[max(at - 8, 0) : max(at - 1, 1)].max() < 0.05


def test_premature_beats_come_early_and_wide(clean, truth, column):
    flags = column["Premature ventricular complex"] & column["Sinusal"]
    flags &= ~column["Ventricular paced"]
    pauses = []
    for record in first(flags, 20):
        kinds, times = truth.rhythm.kinds[record], truth.rhythm.times[record]
        for beat in np.nonzero((kinds == ECTOPIC) & truth.rhythm.in_view[record])[0]:
            before, after = times[beat] - times[beat - 1], times[beat + 1] - times[beat]
            assert before < after
            pauses.append((before + after) * truth.rhythm.mean_rate[record] / 60.0)
    assert np.median(pauses) == pytest.approx(2.0, abs=0.2), "the pause compensates"
    atrial = first(column["Premature atrial complex"], 15)
    sums = []
    for record in atrial:
        kinds, times = truth.rhythm.kinds[record], truth.rhythm.times[record]
        usual = np.median(truth.rhythm.intervals[record])
        for beat in np.nonzero((kinds == ATRIAL_EARLY) & truth.rhythm.in_view[record])[0]:
            sums.append((times[beat + 1] - times[beat - 1]) / usual)
    assert np.median(sums) < 1.9, "an atrial premature beat resets the clock"


def test_voltage_labels(clean, truth, column):
    def voltage(record):
        _, beat = mean_beat(clean.signal, truth, record, before=0.02, after=0.20)
        return np.ptp(beat[:, :6], axis=0).max(), -beat[:, 6].min() + beat[:, 10:].max()

    usual = ~column["Ventricular paced"] & ~column["Left bundle branch block"]
    low = [voltage(r)[0] for r in first(column["Low voltage"] & usual, 15)]
    normal = [voltage(r) for r in first(column["Normal"], 30)]
    assert max(low) < 0.56
    assert np.median([limb for limb, _ in normal]) > 0.8
    name = "SV1 + RV5 or RV6 > 35 mm"
    high = [voltage(r)[1] for r in first(column[name] & usual, 20)]
    assert min(high) > 3.2
    thick = [voltage(r)[1] for r in first(column["Left ventricular hypertrophy"] & usual, 30)]
    assert np.median(thick) > 1.25 * np.median([chest for _, chest in normal])


def test_axis_labels(clean, truth, column):
    for name, low, high in (
        ("Left axis deviation", -95, -25),
        ("Right axis deviation", 85, 185),
    ):
        for record in first(column[name], 20):
            grid, beat = mean_beat(clean.signal, truth, record, before=0.03, after=0.20)
            qrs = beat[(grid > 0) & (grid < truth.beats.qrs[record])]
            base = beat[grid < -0.024].mean(axis=0)
            net = (qrs - base).mean(axis=0)
            axis = np.rad2deg(np.arctan2(net[LEAD["aVF"]] * 2 / np.sqrt(3), net[LEAD["I"]]))
            axis = axis % 360 if name.startswith("Right") else axis
            assert low - 12 < axis < high + 12, (name, record, axis)


def test_noise_belongs_to_electrodes(clean, noisy):
    """Noise on V leads is their own; noise of the limb electrodes is shared, of rank two."""
    noise = noisy.signal[:50] - clean.signal[:50]
    for record in noise:
        singular = np.linalg.svd(record[:, :6] - record[:, :6].mean(axis=0), compute_uv=False)
        assert singular[2] < 1e-4 * singular[0]
    level = noise.std(axis=1)
    quiet, bad = np.percentile(level, [10, 95])
    assert quiet < 0.03 and 0.05 < bad < 0.8
