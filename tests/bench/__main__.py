"""`python -m tests.bench [NAMES] [--quick]`."""

from tests.bench.report import Suite

Suite(
    package="tests.bench",
    make="bench",
    title="Speed, against the plain library doing the same work",
    measures={
        "events": "tests.bench.events:measure",
        "embedded": "tests.bench.events:embedded",
        "load": "tests.bench.load:measure",
        "extraction": "tests.bench.extraction:measure",
        "extraction.memory": "tests.bench.extraction:memory",
        "extraction.side_by_side": "tests.bench.extraction:side_by_side",
        "pipeline": "tests.bench.pipeline:measure",
        "livestreams": "tests.bench.livestreams:measure",
        "captions": "tests.bench.media_text:measure",
        "review": "tests.bench.judging:review",
        "bank": "tests.bench.bank:measure",
        "review.terms": "tests.bench.terms:measure",
        "rumor": "tests.bench.rumors:measure",
        "rumor.retro": "tests.bench.refuting:measure",
        "rumor.emerging": "tests.bench.refuting:emerging",
        "judge": "tests.bench.judging:judge",
        "registry": "tests.bench.registry:measure",
        "state": "tests.bench.state:measure",
        "sanctions": "tests.bench.sanctions:measure",
        "complaints": "tests.bench.complaints:measure",
        "archive": "tests.bench.archive:write",
        "archive.query": "tests.bench.archive:query",
        "label": "tests.bench.labels:measure",
        "start": "tests.bench.start:measure",
    },
).run()
