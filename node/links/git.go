package links

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// gitHash is how long the names of Git's objects are: SHA-1, which is what git-raw has.
const gitHash = 20

var errGitCutOff = errors.New("it is cut off")

// fromGit gives the links of a Git object as Git hashes it, "TYPE SIZE\x00" and its bytes
// (https://ipld.io/specs/codecs/git-raw/spec/): a tree's to its entries, submodules
// included, a commit's to its tree, its parents and what its merged tags are of, a tag's
// to its object.
func fromGit(data []byte) ([]cid.Cid, error) {
	head, _, ok := bytes.Cut(data[:min(len(data), 32)], []byte{0}) // a type and a number are shorter
	if !ok {
		return nil, errors.New("it does not begin as an object of Git")
	}
	body := data[len(head)+1:]
	kind, digits, _ := bytes.Cut(head, []byte{' '})
	size, err := strconv.ParseUint(string(digits), 10, 63)
	if err != nil {
		return nil, errors.New("it does not begin as an object of Git")
	}
	if size > uint64(len(body)) {
		return nil, errGitCutOff
	}
	switch string(kind) {
	case "blob":
		return nil, nil
	case "tree":
		return gitTree(body)
	case "commit":
		return gitHeaders(body, "tree")
	case "tag":
		return gitHeaders(body, "object")
	}
	return nil, fmt.Errorf("%.20q is no type of Git's objects", kind)
}

// gitTree gives the links of a tree: of entries "MODE NAME\x00" and a hash.
func gitTree(body []byte) (found []cid.Cid, err error) {
	for len(body) > 0 {
		end := bytes.IndexByte(body, 0)
		if end < 0 || len(body)-end-1 < gitHash {
			return nil, errGitCutOff
		}
		if !bytes.Contains(body[:end], []byte{' '}) {
			return nil, fmt.Errorf("entry %.40q has no mode", body[:end])
		}
		c, err := gitCID(body[end+1:][:gitHash])
		if err != nil {
			return nil, err
		}
		found, body = append(found, c), body[end+1+gitHash:]
	}
	return found, nil
}

// gitHeaders gives the links of a commit or a tag, which are in its headers: lines up to
// the first that is empty. The first link is in the header that has to be there.
func gitHeaders(body []byte, must string) (found []cid.Cid, err error) {
	has := false
	for len(body) > 0 {
		var line []byte
		line, body, _ = bytes.Cut(body, []byte{'\n'})
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte{' '})
		switch string(name) {
		case must:
			has = true
		case "parent":
		case "mergetag": // a whole tag, of which this line is the first
			var ok bool
			if value, ok = bytes.CutPrefix(value, []byte("object ")); !ok {
				continue
			}
		default: // such as a line that begins with a space, and goes on with the last
			continue
		}
		sum := make([]byte, hex.DecodedLen(len(value)))
		if _, err := hex.Decode(sum, value); err != nil || len(sum) != gitHash {
			return nil, fmt.Errorf("line %.80q has no SHA-1", line)
		}
		c, err := gitCID(sum)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	if !has {
		return nil, fmt.Errorf("it has no %s", must)
	}
	return found, nil
}

func gitCID(sum []byte) (cid.Cid, error) {
	h, err := multihash.Encode(sum, multihash.SHA1)
	return cid.NewCidV1(cid.GitRaw, h), err
}
