# ruff: noqa: E501  an entry is a line
"""The table of formats: one entry for each way in which logs write a time.

Rules: the table is data. An entry that says more comes before one that would also match its lines,
since a line is read by the first entry that matches. The time of an entry is at the start of the
line, after its `lead`; entries with `anywhere` are also tried behind other text (`learning`).
Entries with the same `choice` read the same text as different days: the file decides.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from .template import Compiled, compiled

__all__ = ["FORMATS", "Format"]

# A syslog priority, with the version that RFC 5424 puts after it.
PRIORITY = r"(?:<(?P<pri>\d{1,3})>(?:\d{1,2} )?)?"
LEAD = PRIORITY + r"[\[(\"'<*.]?"
# A line of an access log does not begin with a time, as one of syslog does.
NOT_DATED = r"(?![A-Z][a-z]{2} [ \d]\d |\d{4}[-/]|<\d|\[)"
END = r"(?![\w-])"
# Names of fields with a time, and what may come before them.
NAMES = r"(?:time|ts|t|timestamp|@timestamp|datetime|date|at)"
LOGFMT = rf'(?:[\w.@-]+=(?:"(?:[^"\\]|\\.)*"|\S*) )*?{NAMES}="?'
JSON = rf'[^{{]{{0,60}}\{{.{{0,200}}?"{NAMES}":[ ]?'


class Format(NamedTuple):
    """One way to write a time."""

    name: str
    example: str
    template: str  # see `template`
    lead: str = LEAD
    anywhere: bool = False
    choice: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """What the format does not say: "year", "day", "zone"."""
        fields = self.compiled().fields
        absolute = bool(fields & {"s", "tai"})
        lacks = {
            "year": not fields & {"Y", "y", "G"},
            "day": not fields & {"d", "j", "u"},
            "zone": "z" not in fields,
        }
        return tuple(name for name, lacking in lacks.items() if lacking and not absolute)

    def compiled(self, lead: str | None = None) -> Compiled:
        """Return the pattern, after the format's lead or after another one."""
        return _compiled(self.template, self.lead if lead is None else lead)


_compiled = cache(compiled)


FORMATS = (
    # -- the year first ---------------------------------------------------------------------------
    Format("iso", "2024-03-05T10:00:00.000Z x", r"%DT%H:%M(?::%S%f)?%p%z", anywhere=True),
    Format("iso-space", "2024-03-05 10:00:00,000 INFO x", r"%D[ _][ ]?%H:%M(?::%S%f)?%p%z", anywhere=True),
    Format("iso-tab", "2024-03-05\t10:00:00\tSEA19\t411", r"%D\t%T%z"),
    Format("iso-comma", "2024-03-05, 10:00:00 x", r"%D(?:,[ ]?|[ ]?[|;][ ]?|-)%T%z"),
    Format("iso-hour", "2024-03-05 10:00:00 x", r"%D[ ]{1,2}%k:%M:%S%f%z"),
    Format("iso-dots", "2024-03-05-10.00.00.000000 x", r"%D[-T ]%H\.%M\.%S%f%z"),
    Format("iso-week", "2024-W10-2T10:00:00Z x", r"%G-?W%V-?%u[T ]%H:?%M(?::?%S%f)?%z"),
    Format("iso-ordinal", "2024-065T10:00:00Z x", r"%Y-?%j[T ]%H:?%M(?::?%S%f)?%z"),
    Format("slash", "2024/03/05 10:00:00.000 x", r"%Y/%m/%d[T :-]%T%z", anywhere=True),
    Format("dots", "2024.03.05 10:00:00 x", r"%Y\.%m\.%d[T :-]%T%z"),
    Format("loose", "2024/3/5 10:00:00 x", r"%Y[-/.]%n[-/.]%e[T ][ ]?%k:%M:%S%f%p%z"),
    Format("health-app", "20240305-10:0:0:000|Step|1|x", r"%Y%m%d-%k:%i:%o%q"),
    Format("compact", "20240305T100000Z x", r"%Y%m%d[T.-]%H%M%S%f%z(?!\d)"),
    Format("compact-space", "20240305 10:00:00.000 x", r"%Y%m%d[ T_-]%T%z"),
    Format("compact-digits", "20240305100000.000 INFO x", rf"%Y%m%d%H%M%S%f%z{END}"),
    Format("compact-hdfs", "20240305 100000 x", r"%Y%m%d[ ]%H%M%S%f%z(?!\S)"),
    Format("hdfs", "240305 100000 148 INFO dfs.DataNode: x", r"%y%m%d[ ]%H%M%S(?=\s\d+\s[A-Z])"),
    Format("mysql", "240305 10:00:00 [Note] ready", r"%y%m%d[ ]{1,2}%k:%M:%S%f"),
    Format("mysql-slow", "# Time: 240305 10:00:00", r"%y%m%d[ ]{1,2}%k:%M:%S%f", "# Time: "),
    Format("mysql-slow-iso", "# Time: 2024-03-05T10:00:00.000000Z", r"%D[T ]%T%z", "# Time: "),
    Format("apt", "Start-Date: 2024-03-05  10:00:00", r"%D[ ]{1,2}%T%z", "Start-Date: "),
    Format("short-slash", "24/03/05 10:00:00 INFO Executor: x", r"%y/%m/%d[ ]%T%z", choice="1/2/3"),
    Format("short-iso", "24-03-05 10:00:00 x", r"%y-%m-%d[T ]%T%z"),
    # -- the day and the name of the month --------------------------------------------------------
    Format("weekday-iso", "Tue 2024-03-05 10:00:00 UTC h x", r"%A,?[ ]%D[ ]%T%z", anywhere=True),
    Format("ctime", "Tue Mar  5 10:00:00 UTC 2024 x", r"%a,?[ ]%b[ ]{1,2}%e[ ]%k:%M:%S%f%p%z[ ]%Y(?!\d)", anywhere=True),
    Format("syslog-trailing-year", "Mar  5 10:00:00 2024 h x", r"%b[ ]{1,2}%e[ ]%T%z[ ]%Y(?![\w.:-])"),
    Format("rfc2822", "Tue, 05 Mar 2024 10:00:00 +0000 x", r"%a,?[ ]%e[ ]%b[ ]%Y,?[ ]%T%p%z", anywhere=True),
    Format("cookie", "Tuesday, 05-Mar-24 10:00:00 UTC x", r"%a,?[ ]%e-%b-%y[ ]%T%z", anywhere=True),
    Format("redis", "9:M 05 Mar 2024 10:00:00.000 * Ready", r"%e[ ]%b[ ]%Y[ ]%T%z[ ]%L", r"\d+:[A-Z] "),
    Format("redis-old", "[9] 05 Mar 10:00:00.000 # x", r"%e[ ]%b[ ]%T[ ]%L", r"\[\d+\] "),
    Format("redis-signal", "1:signal-handler (1709632800) x", r"%s", r"\d+:signal-handler \("),
    Format("common", '::1 - me [05/Mar/2024:10:00:00 +0000] "GET /"', r"%e/%b/%Y[: ]%T ?%z[\]]", NOT_DATED + r"[^\[\]]{3,250}\["),
    Format("common-quoted", '::1 - "a [b" [05/Mar/2024:10:00:00 +0000] "GET /"', r"%e/%b/%Y[: ]%T ?%z[\]]", NOT_DATED + r".{3,250}? \["),
    Format("cups", "E [05/Mar/2024:10:00:00 +0000] x", r"\[%e/%b/%Y[: ]%T ?%z\]", r"(?P<L>[A-Z]) "),
    Format("day-name", "05-Mar-2024 10:00:00.000 INFO x", r"%e[-/ .]%b[-/ .]%Y[: T][ ]?%k:%M:%S%f%p%z", anywhere=True),
    Format("oracle", "05-MAR-24 10.00.00.000000 AM +00:00 x", r"%e-%b-%y[ ]%k[.:]%M[.:]%S%f%p%z"),
    Format("day-name-no-year", "05 Mar 10:00:00.000 x", r"%e[-/ ]%b[ ]%T%z"),
    Format("month-name", "Mar 05, 2024 10:00:00 AM org.a.B c", r"%b\.?[ ]%e,[ ]%Y,?[ ]%k:%M:%S%f%p%z", anywhere=True),
    Format("cisco-year", "Mar 05 2024 10:00:00: %ASA-6-302013: x", r"%b[ ]{1,2}%e[ ]%Y[ ]%T%p%z"),
    Format("syslog", "Mar  5 10:00:00 h app[1]: x", r"%b[ ]{1,2}%e[ ]%T%z", PRIORITY + r"(?:[\w.]+: ){0,3}[\[(*.]?"),
    Format("weekday-no-year", "Tue Mar  5 10:00:00 x", r"%a,?[ ]%b[ ]{1,2}%e[ ]%T%z"),
    Format("nextflow", "Mar-05 10:00:00.000 [main] DEBUG x", r"%b-%d[ ]%T"),
    # -- the month and the day as numbers ---------------------------------------------------------
    Format("us", "03/05/2024 10:00:00 x", r"%n/%e/%Y,?[ T-][ ]?%k:%M(?::%S%f)?%p%z", anywhere=True, choice="1/2/2000"),
    Format("european", "05/03/2024 10:00:00 x", r"%e/%n/%Y,?[ T-][ ]?%k:%M(?::%S%f)?%p%z", anywhere=True, choice="1/2/2000"),
    Format("german", "05.03.2024 10:00:00 x", r"%e\.%n\.%Y,?[ T-][ ]?%k:%M(?::%S%f)?%z", anywhere=True, choice="1.2.2000"),
    Format("dots-us", "03.05.2024 10:00:00 x", r"%n\.%e\.%Y,?[ T-][ ]?%k:%M(?::%S%f)?%p%z", choice="1.2.2000"),
    Format("dash-day", "05-03-2024 10:00:00 x", r"%e-%n-%Y,?[ T-][ ]?%k:%M(?::%S%f)?%p%z", choice="1-2-2000"),
    Format("dash-us", "03-05-2024 10:00:00 x", r"%n-%e-%Y,?[ T-][ ]?%k:%M(?::%S%f)?%p%z", choice="1-2-2000"),
    Format("short-european", "05/03/24 10:00:00 x", r"%e/%n/%y,?[ ]%k:%M:%S%f%p%z", choice="1/2/3"),
    Format("short-us", "03/05/24 10:00:00 x", r"%n/%e/%y,?[ ]%k:%M:%S%f%p%z", choice="1/2/3"),
    Format("short-german", "05.03.24 10:00:00 x", r"%e\.%n\.%y,?[ ]%k:%M:%S%f%z"),
    Format("windows-event", "Information,3/5/2024 10:00:00 AM,Service,7036,None,x", r"%n/%e/%Y[ ]%k:%M:%S%p", r"[^,\d]{1,20},", choice="event,1/2/2000"),
    Format("windows-event-day", "Information,5/3/2024 10:00:00,Service,7036,None,x", r"%e/%n/%Y[ ]%k:%M:%S%p", r"[^,\d]{1,20},", choice="event,1/2/2000"),
    Format("windows-dhcp", "10,03/05/24,10:00:00,Assign,10.0.0.9", r"%m/%d/%y,%T", r"\d{1,5},"),
    Format("logcat", "03-05 10:00:00.000  1000  1001 I Tag: x", r"%m-%d[ ]%T(?:\s+\w+){2,3}\s+%L(?=\s)"),
    Format("logcat-brief", "03-05 10:00:00.000 V/Tag( 9): x", r"%m-%d[ ]%T[ ]%L(?=/)"),
    Format("month-day", "03-05 10:00:00.000 x", r"%m-%d[ ]%T%z"),
    Format("proxifier", "[03.05 10:00:00] chrome.exe - x", r"%m\.%d[ ]%T"),
    Format("glog-year", "I20240305 10:00:00.000000 9 a.cc:10] x", r"%L%Y%m%d[ ]%T", ""),
    Format("glog", "I0305 10:00:00.000000       1 server.go:10] x", r"%L%m%d[ ]%T", ""),
    # -- one number -------------------------------------------------------------------------------
    Format("bgl", "- 1709632800 2024.03.05 n1 2024-03-05-10.00.00.000000 n1 RAS x", r"%s(?=[ ]\d{4}\.\d\d\.\d\d[ ](?:(?:\S+[ ]){3}RAS[ ]\w+[ ](?P<word>[A-Z]+)[ ])?)", r"\S+ "),
    Format("hpc", "460903 node-1 unix.hw state 1709632800 1 x", r"%s(?=[ ]-?\d+[ ])", r"\d+ \S+ \S+ \S+ "),
    Format("vpc-flow", "2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1709632800 1709632860 ACCEPT OK", r"%s(?=[ ]\d+[ ])", r"\d \d+ eni-\S+ (?:\S+ ){7}"),
    Format("audit", "type=SYSCALL msg=audit(1709632800.000:9): arch=c000003e", r"%s(?=:\d)", r"(?:node=\S+ )?type=\S+ msg=audit\("),
    Format("epoch", "1709632800.000    180 10.0.0.1 TCP_MISS/200 x", r"%s(?![\w.])", r"[\[(\"'@]?"),
    Format("epoch-comment", "#1709632800", r"%s(?!\S)", r"#\+?"),
    Format("strace", "9 1709632800.000000 openat(AT_FDCWD) = 3", r"%s(?=[ ][\w+<-])", r"(?:\[pid +)?\d{1,7}\]? (?=\d+\.\d)"),
    Format("tai64n", "@4000000065e6ed4500000000 x", r"@%@", ""),
    # -- the time of day --------------------------------------------------------------------------
    Format("uwsgi", "[pid: 9|app: 0] 10.0.0.1 () {38 vars} [Tue Mar  5 10:00:00 2024] GET /", r"%a[ ]%b[ ]{1,2}%e[ ]%T[ ]%Y", r"\[pid: .{1,200}? \["),
    Format("logfmt", 'level=info ts=2024-03-05T10:00:00Z msg="x y"', r"%D[T ]%T%z", LOGFMT),
    Format("logfmt-epoch", 'level=info ts=1709632800.0 msg="x y"', r"%s(?![\w.])", LOGFMT),
    Format("json-field", 'web-1 | {"level":"info","time":"2024-03-05T10:00:00Z","msg":"x"}', r"%D[T ]%T%z", JSON + r'"'),
    Format("json-field-epoch", 'web-1 | {"level":"info","ts":1709632800.0,"msg":"x"}', r"%s(?![\w.])", JSON),
    Format("vmware-split", "2024-03-05 In(14) hostprofile[9]: 10:00:00.000 x", r"%D[ ]\S+[ ]\S+[ ]%T"),
    Format("dump", "===== Start of state dump at Tue Mar 5 10:00:00 UTC 2024 =====", r"%a[ ]%b[ ]{1,2}%e[ ]%T%z[ ]%Y", r"=+ Start of .{1,60} at "),
    Format("fsck", "/dev/sda: fsck run at Tue Mar  5 10:00:00 2024", r"%a[ ]%b[ ]{1,2}%e[ ]%T[ ]%Y", r"\S+: .{1,60} at "),
    Format("time-of-day", "10:00:00.000 [main] INFO x", r"%H:%M:%S%f%p%z(?![\w:])", LEAD + r"(?:\d{1,7} (?=\d\d:\d\d:\d\d\.\d{6} ))?"),
)  # fmt: skip
