"""Times given as text: read whole and right, or not at all."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformations.contracts.strptime import form_fault
from transformations.engine.base.duck import literal, session
from validation.readings.time_texts import date_text, time_text


@pytest.fixture(scope="module")
def duck():
    with session() as connection:
        yield connection


@pytest.fixture(scope="module")
def read(duck):
    """What a text is: an instant (aware), a local time (naive), `ambiguous`, or None."""

    def of(text: str, *forms: str) -> object:
        found = time_text("text", forms)
        columns = f"{found.instant}, {found.local}, {found.is_ambiguous}"
        instant, local, is_ambiguous = duck.execute(
            f"SELECT {columns} FROM (SELECT {literal(text)} AS text)"
        ).fetchall()[0]
        assert instant is None or local is None
        return "ambiguous" if is_ambiguous else instant.astimezone(UTC) if instant else local

    return of


@pytest.fixture(scope="module")
def read_date(duck):
    def of(text: str, *forms: str) -> date | None:
        return duck.execute(
            f"SELECT {date_text('text', forms).local} FROM (SELECT {literal(text)} AS text)"
        ).fetchall()[0][0]

    return of


NO_TIMES = [
    "2024-05-01 01:30:00 PM",
    "2024-05-01 12:15:00 AM",
    "2024-05-01 10:00:00 America/New_York",
    "2024-05-01 10:00:00 EST",
    "2024-05-01 10:00:00 CET",
    "2024-05-01 10:00:00 GMT+2",
    "2024-05-01 10:00:00 nonsense",
    "2024-05-01 10:00:00 +1 day",
    "2024-05-01 10:00:00 (BC)",
    "2024-05-01 (BC)",
    "epoch",
    "infinity",
    "-infinity",
    "now",
    "today",
    "yesterday",
    "noon",
    "",
    "2024-05-01 24:00",
    "2024-05-01 24:00:00",
    "2024-05-01 23:59:60",
    "2024-05-01 10:60",
    "2024-05-01 10",
    "10:00:00",
    "12024-05-01 10:00",
    "+2024-05-01 10:00",
    "24-05-01 10:00",
    "05/01/2024 10:00",
    "2024/05/01 10:00",
    "2024-5-1 10:00",
    "2024-02-30 10:00",
    "2023-02-29",
    "2024-05-01  10:00",
    "2024-05-01x10:00",
    "2024-05-01 1:00",
    "2024-05-01 10:00:00.1234567",
    "2024-05-01 10:00:00,5",
    "2024-05-01 10:00:00 +02:60",
    "2024-05-01 10:00:00 +25:00",
    "2024-05-01 10:00:00+2",
    "2024-05-01 10:00:00 Z",
    "2024-05-01Z",
    "20240501T100000Z",
    "1714557600",
    "٢٠٢٤-05-01 10:00",
]


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_not_wholly_a_time_is_none(read, text):
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01", datetime(2024, 5, 1)),
        ("2024-05-01 10:00", datetime(2024, 5, 1, 10)),
        ("2024-05-01T23:59:59.999999", datetime(2024, 5, 1, 23, 59, 59, 999_999)),
        ("2024-05-01 10:00:00.5", datetime(2024, 5, 1, 10, 0, 0, 500_000)),
        ("2024-05-01 10:00:00.123456000", datetime(2024, 5, 1, 10, 0, 0, 123_456)),
        ("2024-05-01T10:00Z", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01 10:00:00z", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01 10:00:00 UTC", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01 10:00:00+02", datetime(2024, 5, 1, 8, tzinfo=UTC)),
        ("2024-05-01 10:00:00 +0530", datetime(2024, 5, 1, 4, 30, tzinfo=UTC)),
        ("2024-05-01T10:00:00.25-02:30", datetime(2024, 5, 1, 12, 30, 0, 250_000, tzinfo=UTC)),
        ("2024-05-01T10:00:00-00:30", datetime(2024, 5, 1, 10, 30, tzinfo=UTC)),
    ],
)
def test_an_iso_time_is_read_whole(read, text, moment):
    assert read(text) == moment


@given(
    local=st.datetimes(datetime(2, 1, 1), datetime(9999, 12, 30)),
    separator=st.sampled_from(" T"),
    minutes=st.none() | st.integers(-959, 959),
)
def test_every_iso_text_is_what_the_standard_library_reads(read, local, separator, minutes):
    zone = None if minutes is None else timezone(timedelta(minutes=minutes))
    text = local.replace(tzinfo=zone).isoformat(sep=separator)
    assert read(text) == datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2024-05-01", date(2024, 5, 1)),
        ("2024-05-01T00:00:00.000", date(2024, 5, 1)),
        ("2024-05-01 00:00:01", None),
        ("2024-05-01 00:00Z", None),
        ("20240501", None),
        ("05/01/2024", None),
        ("2024-5-1", None),
        ("epoch", None),
        ("infinity", None),
        ("2024-05-01 (BC)", None),
    ],
)
def test_a_date_stands_alone_or_at_midnight(read_date, text, day):
    assert read_date(text) == day


# --- declared forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "text", "moment"),
    [
        ("%d/%m/%Y %I:%M %p", "05/01/2024 01:30 PM", datetime(2024, 1, 5, 13, 30)),
        ("%d/%m/%Y %I:%M %p", "5/1/2024 12:15 am", datetime(2024, 1, 5, 0, 15)),
        ("%m/%d/%Y", "05/01/2024", datetime(2024, 5, 1)),
        ("%d.%m.%y %H:%M", "31.12.68 23:59", datetime(2068, 12, 31, 23, 59)),
        ("%d.%m.%y", "01.01.69", datetime(1969, 1, 1)),
        ("%Y%m%d%H%M%S", "20240501100203", datetime(2024, 5, 1, 10, 2, 3)),
        ("%Y%m%dT%H%M%S%z", "20240501T100203Z", datetime(2024, 5, 1, 10, 2, 3, tzinfo=UTC)),
        ("%Y-%m-%d %H:%M:%S,%f", "2024-05-01 10:00:00,25", datetime(2024, 5, 1, 10, 0, 0, 250_000)),
        ("%d %B %Y", "1 march 2024", datetime(2024, 3, 1)),
        ("%d-%b-%Y", "01-MAY-2024", datetime(2024, 5, 1)),
        ("%Y-%m-%d %H:%M %z", "2024-05-01 10:00 -0230", datetime(2024, 5, 1, 12, 30, tzinfo=UTC)),
        ("%a, %d %b %Y %H:%M:%S %Z", "Wed, 01 May 2024 10:00:00 GMT", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("%a %b %d %H:%M:%S %z %Y", "Wed May 01 01:00:00 +0500 2024", datetime(2024, 4, 30, 20, tzinfo=UTC)),
        ("100%% at %Y-%m-%d", "100% at 2024-05-01", datetime(2024, 5, 1)),
    ],
)
def test_a_declared_form_is_read(read, form, text, moment):
    assert form_fault(form, "UnixTimestamp") is None
    assert read(text, form) == moment


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%d/%m/%Y", "2024-01-05"),
        ("%d/%m/%Y", "05/01/24"),
        ("%d/%m/%Y", "05/01/2024 10:00"),
        ("%d/%m/%Y", "05/13/2024"),
        ("%d/%m/%Y", "31/02/2024"),
        ("%d/%m/%Y", "05 /01/2024"),
        ("%d/%m/%Y", "epoch"),
        ("%d%m%Y", "1112024"),
        ("%d/%m/%Y %I:%M %p", "05/01/2024 13:30 PM"),
        ("%d/%m/%Y %I:%M %p", "05/01/2024 01:30"),
        ("%Y-%m-%d %H:%M:%S", "2024-05-01 24:00:00"),
        ("%Y-%m-%d %H:%M:%S", "2024-05-01 23:59:60"),
        ("%Y-%m-%d %H:%M:%S.%f", "2024-05-01 10:00:00.1234567"),
        ("%Y-%m-%d %H:%M %Z", "2024-05-01 10:00 America/New_York"),
        ("%Y-%m-%d %H:%M %Z", "2024-05-01 10:00 EST"),
        ("%Y-%m-%d %H:%M %z", "2024-05-01 10:00"),
        ("%a, %d %b %Y", "Mon, 01 May 2024"),
        ("%d %b %Y", "01 Mai 2024"),
    ],
)
def test_a_text_of_another_form_is_none(read, form, text):
    assert read(text, form) is None


def test_of_several_forms_each_text_has_one(read):
    forms = ("%d/%m/%Y", "%Y-%m-%d %H:%M")
    assert read("05/01/2024", *forms) == datetime(2024, 1, 5)
    assert read("2024-05-01 10:00", *forms) == datetime(2024, 5, 1, 10)


def test_a_text_that_two_forms_read_differently_is_ambiguous(read):
    forms = ("%d/%m/%Y", "%m/%d/%Y")
    assert read("05/01/2024", *forms) == "ambiguous"
    assert read("05/05/2024", *forms) == datetime(2024, 5, 5)
    assert read("13/05/2024", *forms) == datetime(2024, 5, 13)


@given(
    moment=st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)),
    form=st.sampled_from(
        [
            "%d/%m/%Y %I:%M:%S.%f %p",
            "%Y%m%d%H%M%S%f",
            "%A %d %B %Y %H:%M:%S %f",
            "%b %d, %Y %H.%M.%S.%f",
            "%S%M%H %f %d%m%Y",
        ]
    ),
)
def test_what_the_standard_library_writes_in_a_form_is_read_back(read, moment, form):
    assert read(moment.strftime(form), form) == moment


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ("%d/%m %H:%M", "names no whole date"),
        ("%s", "uses %s"),
        ("%Y-%j", "uses %j"),
        ("%Y-%m-%-d", "uses %-"),
        ("%Y-%m-%d %", "uses %"),
        ("%Y-%m-%d %y", "more than one of %Y, %y"),
        ("%Y-%m-%d %d", "says %d twice"),
        ("%Y-%m-%d %I:%M", "only one of %I and %p"),
        ("%Y-%m-%d %H:%M %p", "only one of %I and %p"),
        ("%Y-%m-%d %M:%S", "leaves out a part of the clock"),
        ("%Y-%m-%d %z", "without a time of day"),
        ("%Y-%m-%dT%H:%M:%SZ", "writes its offset out as text"),
        ("%Y-%m-%d %H:%M UTC", "writes its offset out as text"),
        ("%Y-%m-%d %H:%M+02:00", "writes its offset out as text"),
    ],
)
def test_a_form_that_would_be_half_read_is_refused(form, fault):
    assert fault in form_fault(form, "UnixTimestamp")


def test_a_date_has_no_offset():
    assert form_fault("%d/%m/%Y", "Date") is None
    assert "a date has no offset" in form_fault("%d/%m/%Y %H:%M %z", "Date")


def test_a_date_of_a_declared_form_has_no_time_of_day(read_date):
    assert read_date("05/01/2024", "%d/%m/%Y") == date(2024, 1, 5)
    assert read_date("05/01/2024 00:00", "%d/%m/%Y %H:%M") == date(2024, 1, 5)
    assert read_date("05/01/2024 00:01", "%d/%m/%Y %H:%M") is None
