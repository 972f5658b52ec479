package app

import (
	"log/slog"
	"net/http"

	"sluice/internal/config"
	"sluice/internal/httpapi"
	"sluice/internal/httpapi/pages"
	"sluice/web"
)

// siteOf returns what answers browsers and programs at the management address: pages,
// and the API that they speak to.
func siteOf(c config.Portal, api *httpapi.API, log *slog.Logger) (http.Handler, error) {
	addresses, err := web.Addresses()
	if err != nil {
		return nil, err
	}
	brand := pages.Brand{Name: c.Name, Description: c.Description, Light: c.Light.Tokens(), Dark: c.Dark.Tokens()}
	if brand.Logo, brand.LogoKind, err = c.ReadLogo(); err != nil {
		return nil, err
	}
	files, built := web.Files()
	site, err := pages.New(pages.Deps{Files: files, Built: built, Addresses: addresses, Title: api.Title, Brand: brand, Log: log})
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
