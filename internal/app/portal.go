package app

import (
	"log/slog"
	"net/http"

	"sluice/internal/httpapi"
	"sluice/internal/httpapi/pages"
	"sluice/web"
)

// siteOf returns what answers browsers and programs at the management address: pages,
// and the API that they speak to.
func siteOf(api *httpapi.API, log *slog.Logger) (http.Handler, error) {
	addresses, err := web.Addresses()
	if err != nil {
		return nil, err
	}
	files, built := web.Files()
	site, err := pages.New(pages.Deps{Files: files, Built: built, Addresses: addresses, Title: api.Title, Log: log,
		Brand: pages.Brand{Name: "Sluice", Description: "Find an API, watch it live, subscribe. Your Kafka client keeps its protocol, its groups and its offsets."}})
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if api.Answers(r) {
			api.ServeHTTP(w, r)
			return
		}
		site.ServeHTTP(w, r)
	}), nil
}
