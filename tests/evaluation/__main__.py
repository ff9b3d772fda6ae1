"""`python -m tests.evaluation [NAMES] [--quick]`."""

from tests.bench.report import Suite

Suite(
    package="tests.evaluation",
    make="eval",
    title="Quality of detection",
    measures={
        "extraction.tier0": "tests.evaluation.recall:measure",
        "review.recall": "tests.evaluation.evasion:measure",
        "review.negative_bank": "tests.evaluation.negative_bank:measure",
        "review.nudity": "tests.evaluation.nudity:measure",
        "review.sound": "tests.evaluation.sounds:measure",
        "review.terms": "tests.evaluation.texts:terms",
        "rumor": "tests.evaluation.rumors:measure",
        "rumor.emerging": "tests.evaluation.emerging:measure",
        "rumor.recycled": "tests.evaluation.recycled:measure",
        "captions": "tests.evaluation.captions:measure",
        "speech": "tests.evaluation.speech:measure",
        "synthetic.aigc": "tests.evaluation.labels:measure",
        "label.check": "tests.evaluation.labels:check",
    },
).run()
