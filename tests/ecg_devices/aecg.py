"""HL7 aECG, after HL7 V3 R1."""

from pathlib import Path

import numpy as np

from deepecg_jax.signals.contract import STANDARD_LEADS
from ecg_devices.beats import counts


def write_aecg(path: Path, samples: np.ndarray | None = None) -> np.ndarray:
    """HL7 aECG: 12 leads, 5 uV a digit, 2 ms steps."""
    samples = counts() if samples is None else samples
    leads = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{name}"/><value xsi:type="SLIST_PQ">'
        '<origin value="0" unit="uV"/><scale value="5" unit="uV"/>'
        f"<digits>{' '.join(map(str, samples[:, i]))}</digits></value></sequence></component>"
        for i, name in enumerate(STANDARD_LEADS)
    )
    subject = "componentOf/timepointEvent/componentOf/subjectAssignment/subject/trialSubject"
    tags = subject.split("/")
    opened, closed = "".join(f"<{t}>" for t in tags), "".join(f"</{t}>" for t in tags[::-1])
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><id root="1.2.3"/>'
        f'{opened}<id extension="S-12"/><subjectDemographicPerson>'
        '<administrativeGenderCode code="M"/><birthTime value="19600102"/>'
        f"</subjectDemographicPerson>{closed}"
        '<effectiveTime><low value="20200304101500"/></effectiveTime>'
        '<component><series><code code="RHYTHM"/><effectiveTime><low value="20200304101500"/>'
        "</effectiveTime><component><sequenceSet>"
        '<component><sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS">'
        '<head value="20200304101500"/><increment value="0.002" unit="s"/></value></sequence>'
        f"</component>{leads}</sequenceSet></component></series></component></AnnotatedECG>",
        encoding="utf-8",
    )
    return samples
