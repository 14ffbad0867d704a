package rpc

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"io"
	gopath "path"

	"github.com/ipfs/boxo/files"
	unixfile "github.com/ipfs/boxo/ipld/unixfs/file"
)

// file finds a file, directory or symlink. It is good until the call ends.
func (q *call) file(arg string) (files.Node, found, error) {
	nd, f, err := q.node(arg)
	if err != nil {
		return nil, f, err
	}
	file, err := unixfile.NewUnixfsFile(q.ctx, &openNodes{q.dag, q.held}, nd)
	return file, f, content(err)
}

// cat sends files, one behind the other.
func cat(q *call) error {
	offset, length := q.values.number("offset", 0), q.values.number("length", -1)
	_, bounded := q.values["length"]
	switch {
	case offset < 0:
		return refuse("cannot specify negative offset")
	case bounded && length < 0:
		return refuse("cannot specify negative length")
	case bounded && length == 0:
		q.out.raw(textPlain, 0).end()
		return nil
	}
	var (
		parts []io.Reader
		total int64
	)
	for _, arg := range q.args {
		node, _, err := q.file(arg)
		if err != nil {
			return err
		}
		defer node.Close()
		file, isFile := node.(files.File)
		if _, isDir := node.(files.Directory); isDir {
			return cannot("%v", errIsDir)
		} else if !isFile {
			return cannot("operation not supported")
		}
		size, err := file.Size()
		if err != nil {
			return content(err)
		}
		if offset > size {
			offset -= size
			continue
		}
		seeker, ok := file.(io.Seeker)
		if !ok {
			return cannot("file does not support seeking")
		}
		if _, err := seeker.Seek(offset, io.SeekStart); err != nil {
			return content(err)
		}
		size, offset = size-offset, 0
		if bounded && total+size >= length {
			parts = append(parts, io.LimitReader(file, length-total))
			total = length
			break
		}
		parts, total = append(parts, file), total+size
	}
	out := q.out.raw(textPlain, total)
	if _, err := io.CopyBuffer(out, onlyReader{io.MultiReader(parts...)}, make([]byte, buffer)); err != nil {
		return content(err)
	}
	out.end()
	return nil
}

// onlyReader hides what else a reader can: a file writes itself by way of channels.
type onlyReader struct{ io.Reader }

const (
	textPlain = "text/plain" // what Kubo calls bytes of which it knows nothing, for browsers
	typeTar   = "application/x-tar"
	typeGzip  = "application/gzip"
)

// get sends what is at a path as a TAR archive, or a file that is compressed.
func get(q *call) error {
	archive, compress := q.values.is("archive", false), q.values.is("compress", false)
	level := q.values.number("compression-level", gzip.DefaultCompression)
	if _, given := q.values["compression-level"]; compress && given && (level < gzip.BestSpeed || level > gzip.BestCompression) {
		return refuse("compression level must be between 1 and 9")
	}
	node, f, err := q.file(q.args[0])
	if err != nil {
		return err
	}
	defer node.Close()
	size, err := node.Size()
	if err != nil {
		return content(err)
	}
	contentType := typeTar
	if compress {
		contentType = typeGzip
	}
	raw := q.out.raw(contentType, size)
	buffered := bufio.NewWriterSize(raw, buffer)
	packed := io.Writer(buffered)
	if compress {
		gz, err := gzip.NewWriterLevel(buffered, int(level))
		if err != nil {
			return err
		}
		packed = gz
	}
	if compress && !archive {
		r := files.ToFile(node)
		if r == nil {
			return cannot("file is not regular")
		}
		_, err = io.Copy(packed, onlyReader{r})
	} else {
		err = writeTar(packed, node, gopath.Base(f.path.String()), archive)
	}
	if gz, ok := packed.(*gzip.Writer); ok && err == nil {
		err = gz.Close()
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return content(err)
	}
	raw.end()
	return nil
}

func writeTar(w io.Writer, node files.Node, name string, archive bool) error {
	t, err := files.NewTarWriter(w)
	if err != nil {
		return err
	}
	if !archive { // it is how files travel, and keeps the nanoseconds of their times
		t.SetFormat(tar.FormatPAX)
	}
	if err := t.WriteFile(confined(node, len(name)), name); err != nil {
		return err
	}
	return t.Close()
}
