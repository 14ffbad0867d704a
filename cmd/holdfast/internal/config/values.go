package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Duration is a time.Duration that may be written with days: "90s", "12h", "30d", "1d12h".
// It is never negative.
type Duration time.Duration

const day = 24 * time.Hour

// UnmarshalText reads a duration. A bare "0" is a duration too.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	days, rest, hasDays := strings.Cut(s, "d")
	var total time.Duration
	if hasDays {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return badDuration(s)
		}
		total = time.Duration(n) * day
		s = rest
	}
	if s != "" || !hasDays {
		t, err := time.ParseDuration(s)
		if err != nil || t < 0 || t > math.MaxInt64-total {
			return badDuration(string(text))
		}
		total += t
	}
	*d = Duration(total)
	return nil
}

func badDuration(s string) error {
	return fmt.Errorf("%q is not a duration; write it as 90s, 30m, 12h or 30d", s)
}

// String writes whole days as days.
func (d Duration) String() string {
	t := time.Duration(d)
	if t >= day && t%day == 0 {
		return fmt.Sprintf("%dd", t/day)
	}
	return t.String()
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Size is a number of bytes that is written with a unit: "1GiB", "500MB",
// "4096".
type Size uint64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a size; write it as 512MiB, 10GiB or a number of bytes", text)
	}
	*s = Size(n)
	return nil
}

// String is exact: it uses the largest unit that gives a whole number.
func (s Size) String() string {
	for _, u := range []struct {
		name string
		size Size
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s >= u.size && s%u.size == 0 {
			return fmt.Sprintf("%d%s", s/u.size, u.name)
		}
	}
	return strconv.FormatUint(uint64(s), 10)
}

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
