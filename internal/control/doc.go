// Package control is the control plane: the one way in which anything is changed,
// whoever asks. Its main type is Plane; Store is what it needs of a database. It
// knows documents and who may do what with them, and nothing of HTTP, SQL, sockets
// or frames.
package control
