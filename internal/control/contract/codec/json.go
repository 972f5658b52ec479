package codec

import (
	"bytes"
	"encoding/json"
	"errors"

	"sluice/internal/control/contract/schema"
	"sluice/internal/control/contract/tree"
)

// jsonLanguage is JSON Schema, of values that are JSON, or of texts that are not quoted.
type jsonLanguage struct {
	validator *schema.Validator
	text      bool
}

func (j jsonLanguage) decode(b []byte) ([]byte, error) {
	var n *tree.Node
	var out []byte
	if j.text {
		text, ok := readable(b, false)
		if !ok {
			return nil, errors.New("is not text")
		}
		n, out = tree.Text(text), quote(text)
	} else {
		parsed, failed := parse(b)
		if failed != nil {
			return nil, errors.New("is not JSON: " + failed.Problems[0].Message)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, b); err != nil {
			return nil, errors.New("is not JSON: " + err.Error())
		}
		n, out = parsed, compact.Bytes()
	}
	if failed := j.check(n); failed != nil {
		return nil, errors.New("does not fit the contract: " + failed.Error())
	}
	return out, nil
}

func (j jsonLanguage) encode(n *tree.Node) ([]byte, *Error) {
	if failed := j.check(n); failed != nil {
		return nil, failed
	}
	if j.text {
		return plain(n), nil
	}
	return n.Compact(), nil
}

func (j jsonLanguage) check(n *tree.Node) *Error {
	var failed *Error
	for _, f := range j.validator.Validate(n) {
		if f.Unchecked {
			continue
		}
		if failed == nil {
			failed = &Error{}
		}
		failed.Problems = append(failed.Problems, Problem{f.Node.Pointer(), f.Message})
	}
	return failed
}
