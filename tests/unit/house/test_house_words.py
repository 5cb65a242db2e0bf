"""The words of the glossary are used, and those that were given up are not."""

from __future__ import annotations

from ...support.house import words
from ...support.house.source import held, parse, sources

ALLOWED = {
    "servicebus/testing/harness.py": "keeps former public names working",
    "tests/unit/testing/test_former_names.py": "tests that former public names work",
    "tests/unit/house/test_house_words.py": "plants words that were given up",
}
"""Files that may use words that were given up, each with the reason."""


def test_every_term_of_the_glossary_is_used_in_the_code() -> None:
    code = "\n".join(source.text.lower() for source in sources("servicebus"))
    unused = [term for term in words.terms() if not any(form in code for form in words.forms(term))]
    assert not unused, f"in {words.GLOSSARY}, but not in the code"


def test_no_word_that_was_given_up_is_used() -> None:
    assert not held(words.all_findings(), ALLOWED)


def test_files_that_may_use_words_given_up_need_to() -> None:
    used = {finding.path for finding in words.all_findings()}
    assert set(ALLOWED) <= used


def test_the_glossary_names_a_replacement_for_each_word_given_up() -> None:
    banned = words.given_up()
    assert {"ticket", "mischief", "heed"} <= banned.words.keys()
    assert "nobody waits" in banned.phrases
    assert "Letter" in banned.names


def test_words_given_up_are_found_in_prose_and_in_parts_of_names() -> None:
    banned = words.GivenUp({"ticket": "delivery"}, {"nobody waits": "no task waits"}, {})
    text = "ticketed = 1\nreadTicket = 2\n# nobody\n# waits\n"
    assert [str(finding) for finding in words.words_in("a.py", text, banned)] == [
        'a.py:2: uses "ticket", which was given up; write instead: delivery',
        'a.py:3: uses "nobody waits", which was given up; write instead: no task waits',
    ]


def test_names_given_up_are_found_where_they_are_given() -> None:
    banned = words.GivenUp({}, {}, {"Letter": "OutgoingMessage", "MOST": "MAX_ELEMENTS"})
    source = parse(
        "a.py", '"""Letter."""\nMOST = 1\nclass Letter:\n    def read(self, MOST):\n        self._MOST = MOST\n'
    )
    assert [finding.line for finding in words.names_in(source, banned)] == [2, 3, 5]
