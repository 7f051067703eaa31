package scheduler

import (
	"strconv"
	"strings"
	"time"

	"gcrm/cib"
)

// isoDuration is a duration by calendar parts.
type isoDuration struct {
	years, months, weeks, days, hours, minutes, seconds int
}

func (d *isoDuration) parse(s string) bool {
	s, ok := strings.CutPrefix(s, "P")
	if !ok {
		return false
	}
	inTime := false
	for s != "" {
		if s[0] == 'T' {
			inTime = true
			s = s[1:]
			continue
		}
		n, rest, ok := leadingInt(s)
		if !ok || rest == "" {
			return false
		}
		switch {
		case rest[0] == 'Y':
			d.years = int(n)
		case rest[0] == 'M' && !inTime:
			d.months = int(n)
		case rest[0] == 'W':
			d.weeks = int(n)
		case rest[0] == 'D':
			d.days = int(n)
		case rest[0] == 'H':
			d.hours = int(n)
		case rest[0] == 'M':
			d.minutes = int(n)
		case rest[0] == 'S':
			d.seconds = int(n)
		default:
			return false
		}
		s = rest[1:]
	}
	return true
}

func (d *isoDuration) addTo(t time.Time, sign int) time.Time {
	y, m := t.Year()+sign*d.years, int(t.Month())+sign*d.months
	day := t.Day()
	first := time.Date(y, time.Month(m), 1, t.Hour(), t.Minute(), t.Second(), 0, t.Location())
	if last := first.AddDate(0, 1, -1).Day(); day > last {
		day = last
	}
	t = first.AddDate(0, 0, day-1)
	t = t.AddDate(0, 0, sign*(7*d.weeks+d.days))
	return t.Add(time.Duration(sign) * (time.Duration(d.hours)*time.Hour +
		time.Duration(d.minutes)*time.Minute + time.Duration(d.seconds)*time.Second))
}

// ParseTime reads an ISO 8601 date and time: calendar, ordinal or week dates,
// with an optional time and offset after a blank or T. Without an offset the
// time is UTC.
func ParseTime(s string) (time.Time, bool) {
	s = strings.TrimSpace(s)
	var zero time.Time
	if s == "" {
		return zero, false
	}
	if strings.EqualFold(s, "epoch") {
		return time.Unix(0, 0).UTC(), true
	}
	date, clock := s, ""
	if i := strings.IndexAny(s, "T "); i >= 0 {
		date, clock = s[:i], strings.TrimSpace(s[i+1:])
	} else if strings.Contains(s, ":") {
		return zero, false
	}
	t, ok := parseISODate(strings.TrimSuffix(date, "Z"))
	if !ok {
		return zero, false
	}
	if clock == "" {
		return t, true
	}
	offset := 0
	if i := strings.IndexAny(clock, "Z+-"); i >= 0 {
		z := strings.TrimSpace(clock[i:])
		clock = strings.TrimSpace(clock[:i])
		if z != "Z" {
			secs, ok := parseISOClock(z[1:])
			if !ok {
				return zero, false
			}
			offset = secs
			if z[0] == '-' {
				offset = -secs
			}
		}
	}
	secs, ok := parseISOClock(clock)
	if !ok {
		return zero, false
	}
	return t.Add(time.Duration(secs-offset) * time.Second), true
}

func parseISOClock(s string) (int, bool) {
	if i := strings.IndexByte(s, '.'); i >= 0 {
		s = s[:i]
	}
	var parts []string
	if strings.Contains(s, ":") {
		parts = strings.Split(s, ":")
	} else {
		for len(s) > 2 {
			parts = append(parts, s[:2])
			s = s[2:]
		}
		parts = append(parts, s)
	}
	if len(parts) > 3 {
		return 0, false
	}
	total, mul := 0, 3600
	for _, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return 0, false
		}
		total += n * mul
		mul /= 60
	}
	return total, true
}

func parseISODate(s string) (time.Time, bool) {
	var zero time.Time
	year, rest, ok := leadingInt(s)
	if !ok {
		return zero, false
	}
	if !strings.Contains(s, "-") { // basic format
		switch len(s) {
		case 4:
			return time.Date(int(year), 1, 1, 0, 0, 0, 0, time.UTC), true
		case 7:
			y, d := int(year/1000), int(year%1000)
			return time.Date(y, 1, d, 0, 0, 0, 0, time.UTC), true
		case 8:
			return time.Date(int(year/10000), time.Month(year/100%100), int(year%100), 0, 0, 0, 0, time.UTC), true
		}
		if strings.HasPrefix(rest, "W") {
			rest = "-" + rest
		} else {
			return zero, false
		}
	}
	rest = strings.TrimPrefix(rest, "-")
	if w, isWeek := strings.CutPrefix(rest, "W"); isWeek {
		week, day := w, "1"
		if a, b, has := strings.Cut(w, "-"); has {
			week, day = a, b
		} else if len(w) == 3 {
			week, day = w[:2], w[2:]
		}
		wn, err1 := strconv.Atoi(week)
		dn, err2 := strconv.Atoi(day)
		if err1 != nil || err2 != nil || wn < 1 || wn > 53 || dn < 1 || dn > 7 {
			return zero, false
		}
		jan4 := time.Date(int(year), 1, 4, 0, 0, 0, 0, time.UTC)
		monday := jan4.AddDate(0, 0, -(int(jan4.Weekday())+6)%7)
		return monday.AddDate(0, 0, 7*(wn-1)+dn-1), true
	}
	if m, d, has := strings.Cut(rest, "-"); has {
		mn, err1 := strconv.Atoi(m)
		dn, err2 := strconv.Atoi(d)
		if err1 != nil || err2 != nil || mn < 1 || mn > 12 || dn < 1 || dn > 31 {
			return zero, false
		}
		return time.Date(int(year), time.Month(mn), dn, 0, 0, 0, 0, time.UTC), true
	}
	n, err := strconv.Atoi(rest)
	if err != nil {
		return zero, false
	}
	if len(rest) == 2 {
		return time.Date(int(year), time.Month(n), 1, 0, 0, 0, 0, time.UTC), true
	}
	return time.Date(int(year), 1, n, 0, 0, 0, 0, time.UTC), true
}

// inDateRange tests "a", "a-b", "a-" and "-b".
func inDateRange(spec string, v int) bool {
	spec = strings.TrimSpace(spec)
	if spec == "" {
		return true
	}
	lo, hi, ranged := strings.Cut(spec, "-")
	if !ranged {
		n, err := strconv.Atoi(spec)
		return err == nil && n == v
	}
	if lo != "" {
		n, err := strconv.Atoi(lo)
		if err != nil || v < n {
			return false
		}
	}
	if hi != "" {
		n, err := strconv.Atoi(hi)
		if err != nil || v > n {
			return false
		}
	}
	return true
}

// dateSpecMatches evaluates a date_spec element.
func dateSpecMatches(spec *cib.Element, now time.Time) bool {
	isoYear, isoWeek := now.ISOWeek()
	weekday := int(now.Weekday())
	if weekday == 0 {
		weekday = 7
	}
	for _, f := range []struct {
		name string
		v    int
	}{
		{"seconds", now.Second()}, {"minutes", now.Minute()}, {"hours", now.Hour()},
		{"monthdays", now.Day()}, {"weekdays", weekday}, {"yeardays", now.YearDay()},
		{"weeks", isoWeek}, {"months", int(now.Month())}, {"years", now.Year()}, {"weekyears", isoYear},
	} {
		if v, ok := spec.Lookup(f.name); ok && !inDateRange(v, f.v) {
			return false
		}
	}
	return true
}

// durationOf reads a duration element of a date expression.
func durationOf(el *cib.Element) isoDuration {
	n := func(name string) int { return intOf(el.Get(name), 0) }
	return isoDuration{n("years"), n("months"), n("weeks"), n("days"), n("hours"), n("minutes"), n("seconds")}
}

// dateMatches evaluates a date_expression and notes in next when its value
// changes.
func dateMatches(el *cib.Element, now time.Time, next func(int64)) bool {
	start, hasStart := ParseTime(el.Get("start"))
	end, hasEnd := ParseTime(el.Get("end"))
	if d := el.Child("duration"); d != nil && hasStart && !hasEnd {
		dur := durationOf(d)
		end, hasEnd = dur.addTo(start, 1), true
	}
	op := el.Get("operation")
	switch op {
	case "date_spec":
		spec := el.Child("date_spec")
		return spec != nil && dateSpecMatches(spec, now)
	case "gt":
		if !hasStart {
			return false
		}
		if now.After(start) {
			return true
		}
		next(start.Unix() + 1)
		return false
	case "lt":
		if !hasEnd {
			return false
		}
		if now.Before(end) {
			next(end.Unix())
			return true
		}
		return false
	case "in_range", "":
		if !hasStart && !hasEnd {
			return false
		}
		if hasStart && now.Before(start) {
			next(start.Unix())
			return false
		}
		if hasEnd {
			if now.After(end) {
				return false
			}
			next(end.Unix() + 1)
		}
		return true
	}
	return false
}
