package schema

// Samples are complete programs that connect with a credential.
type Samples struct {
	Topic  string `json:"topic"`
	Group  string `json:"group"`
	Client Client `json:"client"`
	// Items are in the order in which they are shown.
	Items []Sample `json:"items"`
}

// Sample is one language or tool.
type Sample struct {
	// ID is stable, as python; Title is for people, and Needs says what has to be there.
	ID    string `json:"id"`
	Title string `json:"title"`
	Needs string `json:"needs,omitempty"`
	// Language is the syntax for highlighting.
	Language string `json:"language"`
	// Consume is not there where the credential may not read the topic, Produce where it may not
	// write.
	Consume *Program `json:"consume,omitempty"`
	Produce *Program `json:"produce,omitempty"`
}

// Program is one file with the commands that run it.
type Program struct {
	// File is what it is called; not there for what is typed.
	File string `json:"file,omitempty"`
	Text []Part `json:"text"`
	// Run are commands; not there for what is typed itself.
	Run []Part `json:"run,omitempty"`
}

// Part is a piece of a text.
type Part struct {
	Text string `json:"text"`
	// Value names what was filled in, as bootstrap, topic, group, username or secret; not there
	// for what is the same for everybody.
	Value string `json:"value,omitempty"`
}
