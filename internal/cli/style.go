package cli

import (
	"io"
	"os"

	"sluice/internal/config"
)

// style colours text for people; on anything but a terminal it leaves it alone.
type style struct{ on bool }

// styleOf looks at where text goes; NO_COLOR (no-color.org) and a dumb terminal
// switch colours off.
func styleOf(w io.Writer) style {
	return style{on: terminal(w) && environment("NO_COLOR") == "" && environment("TERM") != "dumb"}
}

// terminal reports whether a person reads what is written.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// environment returns a variable that is not secret, "" when it is not set.
func environment(name string) string {
	value, err := config.ReadSecret(config.SecretRef{Env: name})
	if err != nil {
		return ""
	}
	return value
}

func (s style) paint(code, text string) string {
	if !s.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string   { return s.paint("1", text) }
func (s style) dim(text string) string    { return s.paint("2", text) }
func (s style) red(text string) string    { return s.paint("31", text) }
func (s style) green(text string) string  { return s.paint("32", text) }
func (s style) yellow(text string) string { return s.paint("33", text) }
func (s style) cyan(text string) string   { return s.paint("36", text) }
