package moving

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// List is a list of pins: lines with a CID each, CSV with a first line of column names, or
// JSON. It can be read once. It is a [Source].
type List struct{ in io.Reader }

// NewList makes a source of a list. The caller closes r.
func NewList(r io.Reader) *List { return &List{r} }

// Each reads the list. An entry that cannot be pinned is left out, with its line. A list whose
// form is broken is an error.
func (l *List) Each(ctx context.Context, fn func(Pin) error) error {
	listed := 0
	each := func(p Pin) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if listed++; listed > maxPins {
			return errTooMany
		}
		return fn(p)
	}
	in := bufio.NewReaderSize(l.in, maxEntry)
	if bom, _ := in.Peek(3); string(bom) == "\ufeff" {
		_, _ = in.Discard(3) // they are there
	}
	head, err := in.Peek(maxEntry)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the list: %w", err)
	}
	body := bytes.TrimLeft(head, " \t\r\n")
	switch first, _, _ := bytes.Cut(body, []byte("\n")); {
	case len(body) == 0 && err != nil:
		return nil
	case bytes.HasPrefix(body, []byte("{")), bytes.HasPrefix(body, []byte("[")):
		return readJSON(in, each)
	case hasColumn(string(first), "cid"):
		return readCSV(in, each)
	}
	return readLines(in, each)
}

// hasColumn reports whether a line of CSV names a column.
func hasColumn(line, name string) bool {
	for _, field := range strings.Split(line, ",") {
		if strings.EqualFold(strings.Trim(strings.TrimSpace(field), `"`), name) {
			return true
		}
	}
	return false
}

// readLines reads a CID from each line. Empty lines, and those that begin with #, are none.
func readLines(r io.Reader, fn func(Pin) error) error {
	var own error
	err := eachLine(r, func(n int, text []byte) error {
		line := string(text)
		if strings.HasPrefix(line, "#") {
			return nil
		}
		p := Pin{CID: line}.checked()
		if strings.ContainsAny(line, " \t,;") {
			p.CID, _, _ = strings.Cut(strings.Map(comma, line), ",")
			p.LeftOut = "the line has more than a CID; a list with names is CSV with column names, or JSON"
		}
		if p.LeftOut != "" {
			p.LeftOut = fmt.Sprintf("line %d: %s", n, p.LeftOut)
		}
		own = fn(p)
		return own
	})
	if own != nil || err == nil {
		return own
	}
	return fmt.Errorf("read the list: %w", err)
}

func comma(r rune) rune {
	if strings.ContainsRune(" \t;", r) {
		return ','
	}
	return r
}

const metaColumn = "meta."

// readCSV reads rows with the columns cid, name, origins (with spaces between them) and
// meta.KEY.
func readCSV(r io.Reader, fn func(Pin) error) error {
	budget := &budgetReader{r: r, left: 2 * maxEntry}
	in := csv.NewReader(budget)
	in.TrimLeadingSpace = true
	in.ReuseRecord = true
	heads, err := in.Read()
	if err != nil {
		return fmt.Errorf("read the column names: %w", err)
	}
	heads = append([]string{}, heads...)
	for i, head := range heads {
		head = strings.TrimSpace(head)
		low := strings.ToLower(head)
		switch {
		case low == "cid", low == "name", low == "origins":
			heads[i] = low
		case strings.HasPrefix(low, metaColumn):
			heads[i] = metaColumn + head[len(metaColumn):]
		default:
			return fmt.Errorf("column %q is not known: there are cid, name, origins and meta.KEY", head)
		}
	}
	for {
		budget.left = 2 * maxEntry
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the list: %w", err)
		}
		line, _ := in.FieldPos(0)
		p := Pin{}
		for i, field := range row {
			field = strings.Clone(field)
			switch head := heads[i]; head {
			case "cid":
				p.CID = field
			case "name":
				p.Name = field
			case "origins":
				p.Origins = strings.Fields(field)
			default:
				if field == "" {
					continue
				}
				if p.Meta == nil {
					p.Meta = map[string]string{}
				}
				p.Meta[strings.TrimPrefix(head, metaColumn)] = field
			}
		}
		if p = p.checked(); p.LeftOut != "" {
			p.LeftOut = fmt.Sprintf("line %d: %s", line, p.LeftOut)
		}
		if err := fn(p); err != nil {
			return err
		}
	}
}

// budgetReader fails when more was read than is left. Its user renews what is left with each
// entry, so that no entry takes more memory than that.
type budgetReader struct {
	r    io.Reader
	left int
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("an entry has more than %d KiB", maxEntry>>10)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
