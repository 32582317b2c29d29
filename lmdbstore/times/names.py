"""The names in dates: months in common languages, weekdays, and the zones that have no number.

Rules: names are compared in lower case and without a dot at the end. An abbreviation of a zone that
is used in several places has one meaning here, the one in `ABBREVIATIONS`; where a file's zone is
given and uses the abbreviation itself, that zone's meaning counts (`zones.Zones`).
"""

from __future__ import annotations

__all__ = ["ABBREVIATIONS", "MONTHS", "WEEKDAYS", "month_of"]

# One row for each month: English, German, French, Spanish, Italian, Portuguese, Dutch, Swedish,
# Danish and Norwegian, Polish, Czech, Turkish, Hungarian, Russian, and Chinese or Japanese.
_ROWS = """
jan january januar jänner jän janvier janv ene enero gen gennaio janeiro januari sty led
  oca ocak január янв января 1月
feb february februar février févr fév febrero febbraio fev fevereiro februari lut úno şub
  şubat febr február фев февр февраля 2月
mar march märz mär mrz mars marzo março mrt maart marts bře mart márc március март марта
  мар 3月
apr april avril avr abr abril aprile kwi dub nis nisan ápr április апр апреля 4月
may mai mayo mag maggio maio mei maj kvě mayıs máj május май мая 5月
jun june juni juin junio giu giugno junho cze čen čvn haz haziran jún június июн июня 6月
jul july juli juillet juil julio lug luglio julho lip čec čvc tem temmuz júl július июл
  июля 7月
aug august août aoû ago agosto augustus augusti sie srp ağu ağustos augusztus авг августа
  8月
sep sept september septembre septiembre set settembre setembro wrz zář eyl eylül szept
  szeptember сен сент сентября 9月
oct october okt oktober octobre octubre ott ottobre out outubro paź říj eki ekim október
  окт октября 10月
nov november novembre noviembre novembro lis kas kasım ноя нояб ноября 11月
dec december dez dezember déc décembre dic diciembre dicembre dezembro des desember gru
  pro ara aralık дек декабря 12月
"""
MONTHS = {
    name: number
    for number, row in enumerate(_ROWS.strip().replace("\n ", " ").split("\n"), 1)
    for name in row.split()
}

# Monday is 1, as in ISO 8601. Only English names are compared with the date.
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKDAYS = {name: number for number, day in enumerate(_DAYS, 1) for name in (day, day[:3], day[:4])}

# Minutes ahead of UTC. IST is India's, BST Britain's, CST and MST and EST America's.
ABBREVIATIONS = {
    name: minutes
    for minutes, names in (
        (-600, "HST"),
        (-540, "AKST"),
        (-480, "PST AKDT"),
        (-420, "PDT MST"),
        (-360, "CST MDT"),
        (-300, "EST CDT COT PET"),
        (-240, "EDT AST"),
        (-210, "NST"),
        (-180, "ADT BRT ART UYT"),
        (-150, "NDT"),
        (0, "UTC GMT WET UCT"),
        (60, "CET WEST BST MET WAT"),
        (120, "CEST EET MEST SAST CAT"),
        (180, "EEST MSK EAT TRT"),
        (240, "GST SAMT"),
        (300, "PKT YEKT"),
        (330, "IST"),
        (345, "NPT"),
        (360, "OMST"),
        (420, "WIB ICT KRAT NOVT"),
        (480, "AWST SGT HKT WITA PHT IRKT"),
        (540, "JST KST WIT YAKT"),
        (570, "ACST"),
        (600, "AEST VLAT"),
        (630, "ACDT"),
        (660, "AEDT MAGT"),
        (720, "NZST"),
        (780, "NZDT"),
    )
    for name in names.split()
}


def month_of(name: str) -> int | None:
    """Return the number of a month by its name or abbreviation, or None if it is no month."""
    return MONTHS.get(name.lower().rstrip("."))
