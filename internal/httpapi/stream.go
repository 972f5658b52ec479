package httpapi

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// streamPatience is how long a reader of a large answer may take for each part of it.
const streamPatience = 30 * time.Second

// streamed is a route whose answer has no bounds.
type streamed struct {
	operation   huma.Operation
	contentType string
	// write writes the answer. What it returns before it has written anything is
	// answered as a problem.
	write func(*http.Request, *streamWriter) error
}

// stream registers a route whose answer is written as it comes about.
func (a *API) stream(s streamed) {
	a.mux.HandleFunc(s.operation.Method+" "+s.operation.Path, func(w http.ResponseWriter, r *http.Request) {
		out := &streamWriter{w: w, control: http.NewResponseController(w), contentType: s.contentType}
		err := s.write(r, out)
		switch id := request(r.Context()).ID; {
		case err == nil:
			out.begin()
		case !out.begun:
			a.told(id, err)
			refuse(w, unasked(request(r.Context()).Actor, problem(err, id)))
		default:
			a.log.Error("a large answer was broken off", "request", id, "path", r.URL.Path, "err", err)
			panic(http.ErrAbortHandler) // so that whoever reads does not take a part for the whole
		}
	})
	op := s.operation
	op.Responses = map[string]*huma.Response{"200": {Description: "The whole of it, as it comes about.", Content: map[string]*huma.MediaType{s.contentType: {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	a.huma.OpenAPI().AddOperation(&op)
}

// streamWriter writes an answer to a reader who has to go on reading.
type streamWriter struct {
	w           http.ResponseWriter
	control     *http.ResponseController
	contentType string
	begun       bool
}

func (s *streamWriter) begin() {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", s.contentType)
		s.w.WriteHeader(http.StatusOK)
	}
}

func (s *streamWriter) Write(b []byte) (int, error) {
	s.begin()
	if err := s.control.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil {
		return 0, err
	}
	return s.w.Write(b)
}
