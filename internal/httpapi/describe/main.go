// Command describe prints the OpenAPI description of the management API, from which the
// types of the web application are made: make web.
package main

import (
	"fmt"
	"log/slog"
	"os"

	"sluice/internal/httpapi"
)

func main() {
	text, err := httpapi.New(httpapi.Deps{Log: slog.New(slog.DiscardHandler), Release: "dev"}).OpenAPI()
	if err != nil {
		fmt.Fprintln(os.Stderr, "describe:", err)
		os.Exit(1)
	}
	fmt.Println(string(text))
}
