package sample

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	lower   = "abcdefghijklmnopqrstuvwxyz"
	upper   = "ABCDEFGHJKLMNPQRSTUVWXYZ"
	digits  = "0123456789"
	mixed   = "abcdefghjkmnpqrstuvwxyz23456789"
	hexText = "0123456789abcdef"
)

// city is a place that several fields of one record agree on.
type city struct {
	name, region, country, code, currency, zone, post, dial string
	lat, lon                                                float64
}

var cities = []city{
	{"Linz", "Upper Austria", "Austria", "AT", "EUR", "Europe/Vienna", "4020", "+43", 48.3069, 14.2858},
	{"Lyon", "Auvergne-Rhône-Alpes", "France", "FR", "EUR", "Europe/Paris", "69002", "+33", 45.7578, 4.8320},
	{"Hamburg", "Hamburg", "Germany", "DE", "EUR", "Europe/Berlin", "20095", "+49", 53.5503, 9.9928},
	{"Utrecht", "Utrecht", "Netherlands", "NL", "EUR", "Europe/Amsterdam", "3511", "+31", 52.0907, 5.1214},
	{"Porto", "Norte", "Portugal", "PT", "EUR", "Europe/Lisbon", "4000", "+351", 41.1496, -8.6110},
	{"Leeds", "England", "United Kingdom", "GB", "GBP", "Europe/London", "LS1 4DY", "+44", 53.7997, -1.5492},
	{"Portland", "Oregon", "United States", "US", "USD", "America/Los_Angeles", "97204", "+1", 45.5152, -122.6784},
	{"Gothenburg", "Västra Götaland", "Sweden", "SE", "SEK", "Europe/Stockholm", "411 06", "+46", 57.7072, 11.9668},
	{"Bologna", "Emilia-Romagna", "Italy", "IT", "EUR", "Europe/Rome", "40121", "+39", 44.4949, 11.3426},
	{"Kraków", "Lesser Poland", "Poland", "PL", "PLN", "Europe/Warsaw", "31-007", "+48", 50.0614, 19.9366},
	{"Toronto", "Ontario", "Canada", "CA", "CAD", "America/Toronto", "M5H 2N2", "+1", 43.6532, -79.3832},
	{"Zürich", "Zürich", "Switzerland", "CH", "CHF", "Europe/Zurich", "8001", "+41", 47.3769, 8.5417},
}

var (
	firstNames = []string{"Anna", "Ben", "Clara", "David", "Elif", "Felix", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Liam", "Mara", "Noah", "Olga", "Pavel", "Rosa", "Samir", "Tessa", "Viktor", "Yara", "Zoe"}
	lastNames  = []string{"Adler", "Bauer", "Castro", "Dubois", "Eriksen", "Fischer", "Gruber", "Haddad", "Ivanova", "Jansen", "Kowalski", "Lindqvist", "Moreau", "Novak", "Okafor", "Petrov", "Rossi", "Silva", "Tanaka", "Weber"}
	streets    = []string{"Station Road", "Harbour Lane", "Mill Street", "Church Street", "Garden Road", "High Street", "Linden Avenue", "River Walk", "Market Square", "Park View"}
	companies  = []string{"Northwind Foods", "Blue Harbour", "Alder & Sons", "Brightline Logistics", "Copper Kettle", "Meridian Supply", "Oakfield Dairy", "Redbrick Coffee", "Silverline Parts", "Tall Pines"}
	products   = []string{"Espresso beans 1 kg", "Earl Grey 250 g", "Rye sourdough", "Mountain cheese 400 g", "Olive oil 750 ml", "Apples 2 kg", "Lime blossom honey", "Spaghetti 500 g", "Dark chocolate 85 %", "Oat drink 1 l", "Tomato passata", "Sea salt 500 g"}
	categories = []string{"Coffee & tea", "Bakery", "Dairy", "Pantry", "Fruit & vegetables", "Household"}
	sentences  = []string{"Please leave it at the front desk.", "Arrived in good order.", "One box was opened and checked.", "Ring twice, the bell is quiet.", "Replaces the order of last week.", "Waiting for the next window.", "Checked by hand.", "Customer asked for a call before noon."}
	colours    = []string{"blue", "green", "red", "white", "black", "grey", "yellow"}
)

// at is the city of a place: that of what it is in.
func (g *maker) city(at place) city {
	return cities[draw(g.thing.seed, uint64(len(at.words)-at.own), 77).IntN(len(cities))]
}

// person is the name that a place's neighbours agree on.
func (g *maker) person(at place) (first, last string) {
	r := draw(g.thing.seed, chainAll(at.words[:len(at.words)-at.own]), 78)
	return firstNames[r.IntN(len(firstNames))], lastNames[r.IntN(len(lastNames))]
}

func chainAll(words []string) uint64 {
	h := uint64(3)
	for _, w := range words {
		h = chain(h, w)
	}
	return h
}

// plain turns a name into what stands in addresses.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r == 'ö' || r == 'ó':
			return 'o'
		case r == 'ü':
			return 'u'
		}
		return -1
	}, strings.ToLower(s))
}

// texts are the texts that names promise, by the last words of a path.
var texts = map[string]func(g *maker, at place) string{
	"first name": func(g *maker, at place) string { f, _ := g.person(at); return f }, "given name": func(g *maker, at place) string { f, _ := g.person(at); return f },
	"last name": func(g *maker, at place) string { _, l := g.person(at); return l }, "family name": func(g *maker, at place) string { _, l := g.person(at); return l }, "surname": func(g *maker, at place) string { _, l := g.person(at); return l },
	"full name": fullName, "display name": fullName, "customer name": fullName, "user name": userName, "username": userName, "login": userName, "contact name": fullName, "recipient": fullName,
	"driver": fullName, "driver name": fullName, "person name": fullName, "employee name": fullName, "author": fullName, "holder": fullName, "passenger name": fullName, "author name": fullName, "patient name": fullName,
	"email": email, "mail": email, "email address": email,
	"phone": phone, "phone number": phone, "mobile": phone, "telephone": phone, "msisdn": phone,
	"city": cityName, "town": cityName, "city name": cityName, "region": func(g *maker, at place) string { return g.city(at).region }, "state name": func(g *maker, at place) string { return g.city(at).region }, "province": func(g *maker, at place) string { return g.city(at).region },
	"country": func(g *maker, at place) string { return g.city(at).country }, "country name": func(g *maker, at place) string { return g.city(at).country }, "country code": countryCode, "country iso": countryCode, "nationality": countryCode,
	"street": street, "street address": street, "address": street, "address line": street, "line1": street,
	"postal code": postCode, "postcode": postCode, "zip": postCode, "zip code": postCode, "plz": postCode,
	"currency": currency, "currency code": currency, "timezone": zone, "time zone": zone,
	"locale": func(g *maker, at place) string { return g.steady(at).of("en-GB", "de-AT", "fr-FR", "nl-NL") }, "language": func(g *maker, at place) string { return g.steady(at).of("en", "de", "fr", "nl", "pt") },
	"company": company, "company name": company, "organisation": company, "organization": company, "organization name": company, "organisation name": company, "supplier": company, "supplier name": company, "vendor": company, "merchant": company, "merchant name": company, "carrier": carrier, "brand": company,
	"product name": product, "product": product, "item name": product, "article name": product, "item": product, "article": product, "line name": product, "product title": product,
	"category": func(g *maker, at place) string { return g.steady(at).of(categories...) }, "category name": func(g *maker, at place) string { return g.steady(at).of(categories...) },
	"store": store, "store name": store, "shop name": store, "warehouse": warehouse, "warehouse name": warehouse, "location": warehouse, "location name": warehouse, "depot": warehouse, "site": warehouse,
	"url": address, "uri": address, "link": address, "href": address, "website": address, "homepage": address,
	"ip": ip4, "ip address": ip4, "host": host, "hostname": host, "host name": host, "domain": func(*maker, place) string { return "example.com" },
	"user agent": func(g *maker, at place) string {
		return g.steady(at).of("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "okhttp/4.12.0", "shop-app/7.2 (iOS)")
	},
	"description": sentence, "comment": sentence, "note": sentence, "remark": sentence, "message": sentence, "text": sentence, "reason": reason, "summary": sentence, "feedback": sentence, "instruction": sentence,
	"title": func(g *maker, at place) string {
		return g.steady(at).of("Weekly delivery", "New arrival", "Late delivery", "Good as always")
	},
	"colour": colour, "color": colour, "version": func(g *maker, at place) string {
		r := g.steady(at)
		return fmt.Sprintf("%d.%d.%d", 1+r.IntN(4), r.IntN(12), r.IntN(20))
	},
	"unit": func(g *maker, at place) string { return g.steady(at).of("pcs", "kg", "l") }, "sku": sku, "article number": sku, "ean": ean, "gtin": ean, "barcode": ean,
	"iban": iban, "bic": func(g *maker, at place) string { return "EXAM" + g.city(at).code + "22" }, "vin": func(g *maker, at place) string {
		return "WVW" + g.steady(at).letters(14, "ABCDEFGHJKLMNPRSTUVWXYZ0123456789")
	},
	"licence plate": plate, "license plate": plate, "plate": plate, "registration": plate,
	"channel": func(g *maker, at place) string { return g.steady(at).of("web", "app", "store", "phone") }, "source": func(g *maker, at place) string { return g.steady(at).of("web", "app", "backoffice") },
	"method": func(g *maker, at place) string { return g.steady(at).of("card", "transfer", "wallet") }, "payment method": func(g *maker, at place) string { return g.steady(at).of("card", "transfer", "wallet", "invoice") },
	"district": func(g *maker, at place) string {
		return g.steady(at).of("Old Town", "Harbour", "Northside", "Mill Hill", "Garden Quarter")
	},
	"sensor type": func(g *maker, at place) string { return g.steady(at).of("temperature", "humidity", "pressure") }, "level": func(g *maker, at place) string { return g.steady(at).of("info", "warning", "error") }, "severity": func(g *maker, at place) string { return g.steady(at).of("low", "medium", "high") },
	"line number": func(g *maker, at place) string { return strconv.Itoa(1 + g.steady(at).IntN(20)) }, "route": func(g *maker, at place) string {
		return g.steady(at).of("R", "S") + strconv.Itoa(1+g.steady(at).IntN(60))
	},
	"hash": func(g *maker, at place) string { return g.steady(at).letters(64, hexText) }, "checksum": func(g *maker, at place) string { return g.steady(at).letters(64, hexText) }, "mac": mac, "mac address": mac,
	"specversion": func(*maker, place) string { return "1.0" }, "ce specversion": func(*maker, place) string { return "1.0" }, "datacontenttype": func(*maker, place) string { return "application/json" },
	"ce source": func(g *maker, at place) string {
		return "/" + strings.Join(g.message.noun[:min(1, len(g.message.noun))], "")
	}, "ce type": eventType, "ce id": eventID, "ce time": func(g *maker, at place) string { return instant(g.moment(at)) },
	"event id": eventID, "message id": eventID, "trace id": func(g *maker, at place) string { return g.fresh(at).letters(32, hexText) }, "span id": func(g *maker, at place) string { return g.fresh(at).letters(16, hexText) }, "request id": eventID, "correlation id": eventID,
	"content type": func(*maker, place) string { return "application/json" }, "event type": eventType,
	"model": func(g *maker, at place) string { return g.steady(at).of("T-200", "T-300", "Cargo L", "City S") }, "firmware": func(g *maker, at place) string { return g.steady(at).of("2.4.1", "2.5.0", "3.0.2") },
	"gender": func(g *maker, at place) string { return g.steady(at).of("female", "male", "diverse") }, "weekday": func(g *maker, _ place) string { return g.now.UTC().Weekday().String() },
}

func fullName(g *maker, at place) string { f, l := g.person(at); return f + " " + l }
func userName(g *maker, at place) string {
	f, l := g.person(at)
	return plain(f) + "." + plain(l)
}
func email(g *maker, at place) string {
	return userName(g, at) + "@example." + g.steady(at).of("com", "org", "net")
}
func phone(g *maker, at place) string {
	return g.city(at).dial + " 555 01" + g.steady(at).letters(2, digits)
}                                        // numbers that nobody has
func cityName(g *maker, at place) string { return g.city(at).name }
func countryCode(g *maker, at place) string {
	return g.city(at).code
}
func street(g *maker, at place) string {
	r := g.steady(at)
	return strconv.Itoa(1+r.IntN(140)) + " " + r.of(streets...)
}
func postCode(g *maker, at place) string { return g.city(at).post }
func currency(g *maker, at place) string { return g.city(place{words: g.message.noun}).currency }
func zone(g *maker, at place) string     { return g.city(at).zone }
func company(g *maker, at place) string  { return g.steady(at).of(companies...) }
func carrier(g *maker, at place) string {
	return g.steady(at).of("Brightline Logistics", "Parcel & Co", "Green Wheels", "Harbour Freight")
}
func product(g *maker, at place) string { return g.steady(at).of(products...) }
func store(g *maker, at place) string   { return "Shop " + g.city(at).name }
func warehouse(g *maker, at place) string {
	return g.steady(at).of("North", "South", "Harbour", "Airport") + " depot"
}
func address(g *maker, at place) string {
	return "https://www.example.com/" + strings.Join(g.message.noun[:min(1, len(g.message.noun))], "") + "/" + g.steady(at).letters(8, mixed)
}
func ip4(g *maker, at place) string { return fmt.Sprintf("192.0.2.%d", 1+g.steady(at).IntN(254)) }
func host(g *maker, at place) string {
	return fmt.Sprintf("node-%d.example.com", 1+g.steady(at).IntN(12))
}
func sentence(g *maker, at place) string { return g.steady(at).of(sentences...) }
func reason(g *maker, at place) string {
	return g.steady(at).of("out of stock", "address unknown", "customer changed their mind", "damaged", "too late")
}
func colour(g *maker, at place) string { return g.steady(at).of(colours...) }
func sku(g *maker, at place) string {
	r := g.steady(at)
	return r.letters(3, upper) + "-" + r.letters(4, digits)
}
func plate(g *maker, at place) string {
	r := g.steady(at)
	return r.letters(2, upper) + "-" + r.letters(3, digits) + "-" + r.letters(2, upper)
}
func mac(g *maker, at place) string {
	s := g.steady(at).letters(10, hexText)
	return "02:" + s[:2] + ":" + s[2:4] + ":" + s[4:6] + ":" + s[6:8] + ":" + s[8:]
}
func eventID(g *maker, at place) string { return uuid(g.fresh(at)) }

// eventType names an event after the message.
func eventType(g *maker, at place) string {
	w := g.message.noun
	if len(w) == 0 {
		return "com.example.event"
	}
	return "com.example." + strings.Join(w[:min(2, len(w))], ".")
}

// ean has its check digit (GS1 General Specifications §7.9).
func ean(g *maker, at place) string {
	s, sum := "200"+g.steady(at).letters(9, digits), 0
	for i := range len(s) {
		sum += int(s[i]-'0') * (1 + 2*(i%2))
	}
	return s + strconv.Itoa((10-sum%10)%10)
}

// iban has its check digits (ISO 13616), of a bank that does not exist.
func iban(g *maker, at place) string {
	account := "00000000" + g.steady(at).letters(10, digits)
	rest := 0
	for _, c := range account + "131400" { // DE00
		rest = (rest*10 + int(c-'0')) % 97
	}
	return fmt.Sprintf("DE%02d%s", 98-rest, account)
}

func uuid(r *random) string {
	b := make([]byte, 16)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// rule finds what is known of the last words of a path, the most words first.
func rule[T any](of map[string]T, w []string) (found T, ok bool) {
	for n := min(3, len(w)); n > 0; n-- {
		tail := w[len(w)-n:]
		if found, ok = of[strings.Join(tail, " ")]; ok {
			return found, true
		}
	}
	return found, false
}

// text is what a name promises; false where it promises nothing.
func (g *maker) text(at place) (string, bool) {
	own := at.words[len(at.words)-at.own:]
	if g.own(at) {
		return g.name(at), true
	}
	if temporal(own) {
		if last := own[len(own)-1]; last == "date" || last == "birthday" || last == "birthdate" || last == "dob" {
			return g.moment(at).UTC().Format(time.DateOnly), true
		}
		return instant(g.moment(at)), true
	}
	if make, ok := rule(texts, at.words); ok {
		return make(g, at), true
	}
	if len(own) > 0 {
		switch last := own[len(own)-1]; last {
		case "id", "uuid", "guid", "identifier":
			return g.name(at), true
		case "number", "no", "nr", "ref", "reference", "key", "code", "token", "serial":
			return strings.ToUpper(g.steady(at).letters(8, mixed)), true
		case "name":
			return g.named(at), true
		}
	}
	return "", false
}

// named is a name of something, of a person where that is what has it.
func (g *maker) named(at place) string {
	for _, w := range at.words {
		switch w {
		case "customer", "user", "person", "contact", "employee", "driver", "patient", "member", "recipient", "sender", "author", "guest", "student", "passenger":
			return fullName(g, at)
		case "company", "supplier", "merchant", "organisation", "organization", "vendor", "partner", "account", "tenant":
			return company(g, at)
		case "store", "shop", "warehouse", "station", "depot", "location", "site":
			return warehouse(g, at)
		}
	}
	return product(g, at)
}

// name is what identifies something: the thing itself, or another one that many things
// have to do with.
func (g *maker) name(at place) string {
	of := at.words[:max(0, len(at.words)-1)]
	prefix := ""
	for i := len(of) - 1; i >= 0; i-- {
		if w := singular(of[i]); len(w) > 2 && w != "event" && w != "data" && w != "message" && w != "payload" {
			prefix = w
			break
		}
	}
	if g.own(at) {
		if own := at.words[len(at.words)-at.own:]; len(own) < 2 && len(g.message.noun) > 0 {
			prefix = g.message.noun[0]
		}
		if g.message.moves && !g.message.life {
			return short(prefix) + fmt.Sprintf("%02d", g.thing.number)
		}
		return short(prefix) + strconv.FormatUint(g.thing.number, 36)
	}
	if prefix == "" {
		return g.steady(at).letters(10, mixed)
	}
	return short(prefix) + strconv.Itoa(1000+g.steady(at).IntN(400))
}

// short is the beginning of names, as cus- of customer.
func short(word string) string {
	switch {
	case word == "":
		return ""
	case utf8.RuneCountInString(word) > 4:
		return string([]rune(word)[:3]) + "-"
	}
	return word + "-"
}

// number is what a name promises of a number.
type number struct {
	low, high float64
	decimals  int
	// law says how it comes about.
	law law
}

type law int

const (
	steadily  law = iota // the same for a thing
	usually              // the same, and small ones more often
	drifting             // changes slowly, as of things that stay
	wandering            // changes slowly
	freshly              // another one each time
)

// numbers are what names promise of numbers, by the last words of a path.
var numbers = map[string]number{
	"age": {18, 82, 0, steadily}, "quantity": {1, 6, 0, usually}, "qty": {1, 6, 0, usually}, "count": {1, 9, 0, usually}, "pieces": {1, 12, 0, usually}, "number of item": {1, 9, 0, usually},
	"price": {2, 90, 2, usually}, "amount": {5, 400, 2, usually}, "total": {10, 600, 2, usually}, "subtotal": {10, 500, 2, usually}, "cost": {2, 200, 2, usually}, "fee": {1, 15, 2, usually}, "balance": {50, 9000, 2, usually}, "value": {1, 100, 2, usually}, "sensor value": {4, 24, 1, drifting}, "reading value": {4, 24, 1, drifting}, "measurement value": {4, 24, 1, drifting}, "salary": {28000, 90000, 0, steadily},
	"total price": {10, 600, 2, usually}, "unit price": {2, 90, 2, usually}, "net": {10, 500, 2, usually}, "gross": {10, 600, 2, usually}, "tip": {1, 10, 2, usually}, "refund": {5, 200, 2, usually},
	"cents": {200, 40000, 0, usually}, "minor": {200, 40000, 0, usually}, "minor unit": {200, 40000, 0, usually}, "price cents": {190, 3900, 0, usually}, "unit price cents": {190, 3900, 0, usually}, "total cents": {1000, 40000, 0, usually}, "amount cents": {500, 40000, 0, usually},
	"tax": {1, 60, 2, usually}, "vat": {1, 60, 2, usually}, "tax rate": {10, 20, 0, steadily}, "discount": {1, 20, 2, usually}, "percent": {0, 100, 1, wandering}, "percentage": {0, 100, 1, wandering}, "pct": {0, 100, 1, wandering}, "ratio": {0, 1, 3, wandering}, "rate": {0, 1, 3, wandering}, "probability": {0, 1, 3, wandering}, "confidence": {0.6, 1, 3, wandering},
	"rating": {1, 5, 0, freshly}, "stars": {1, 5, 0, freshly}, "star": {1, 5, 0, freshly}, "score": {1, 100, 0, freshly}, "priority": {1, 5, 0, usually}, "rank": {1, 50, 0, usually}, "level": {1, 100, 0, wandering}, "fill level": {10, 95, 0, drifting},
	"weight": {0.2, 25, 2, usually}, "weight kg": {0.2, 25, 2, usually}, "weight g": {50, 9000, 0, usually}, "length": {5, 200, 1, usually}, "width": {5, 120, 1, usually}, "height": {2, 120, 1, usually}, "depth": {2, 120, 1, usually}, "volume": {0.5, 80, 2, usually}, "distance": {0.3, 40, 1, usually}, "distance km": {0.3, 40, 1, usually}, "distance m": {300, 40000, 0, usually},
	"temperature": {4, 24, 1, drifting}, "temp": {4, 24, 1, drifting}, "celsius": {4, 24, 1, drifting}, "humidity": {30, 75, 1, drifting}, "pressure": {990, 1030, 1, drifting}, "voltage": {225, 235, 1, drifting}, "current": {0.5, 12, 2, drifting}, "power": {100, 2400, 0, drifting}, "energy": {1, 40, 2, drifting}, "battery": {20, 98, 0, drifting}, "battery level": {20, 98, 0, drifting}, "fuel": {15, 95, 0, drifting}, "fuel level": {15, 95, 0, drifting}, "rpm": {900, 3200, 0, drifting}, "torque": {20, 180, 1, drifting}, "vibration": {0.1, 4, 2, drifting}, "co2": {400, 900, 0, drifting}, "lux": {50, 900, 0, drifting}, "noise": {35, 75, 1, drifting}, "lumens": {200, 900, 0, drifting}, "lumen": {200, 900, 0, drifting},
	"altitude": {240, 320, 0, drifting}, "elevation": {240, 320, 0, drifting}, "accuracy": {2, 12, 1, drifting}, "satellites": {6, 12, 0, drifting}, "satellite": {6, 12, 0, drifting},
	"stock": {0, 240, 0, drifting}, "available": {0, 240, 0, drifting}, "on hand": {0, 240, 0, drifting}, "reserved": {0, 30, 0, drifting}, "stock level": {0, 240, 0, drifting}, "reorder point": {10, 60, 0, steadily}, "occupancy": {0, 60, 0, drifting}, "passengers": {0, 60, 0, drifting}, "passenger": {0, 60, 0, drifting}, "passenger count": {0, 60, 0, drifting},
	"duration": {5, 900, 0, usually}, "duration ms": {20, 4000, 0, usually}, "latency": {5, 400, 0, wandering}, "latency ms": {5, 400, 0, wandering}, "delay": {0, 600, 0, wandering}, "delay seconds": {0, 600, 0, wandering}, "timeout": {5, 60, 0, steadily}, "minutes": {1, 90, 0, usually}, "hours": {1, 48, 0, usually}, "days": {1, 30, 0, usually},
	"year": {2019, 2026, 0, steadily}, "month": {1, 12, 0, steadily}, "day": {1, 28, 0, steadily}, "hour": {0, 23, 0, steadily}, "minute": {0, 59, 0, steadily}, "port": {1024, 49151, 0, steadily}, "size": {1, 2000, 0, usually}, "bytes": {200, 200000, 0, usually}, "attempt": {1, 3, 0, usually}, "attempts": {1, 3, 0, usually}, "retries": {0, 2, 0, usually}, "status code": {200, 204, 0, steadily}, "http status": {200, 204, 0, steadily}, "floor": {0, 12, 0, steadily}, "platform": {1, 12, 0, steadily},
}

// radius is how far, in degrees, things move from the middle of their city.
const radius = 0.028

// position is where a thing is, and how fast it goes where to, in metres a second and
// degrees. It goes round its city, on a way of its own.
func (g *maker) position(at place) (lat, lon, speed, heading float64) {
	r := draw(g.thing.seed, 4242, 0)
	c := cities[draw(uint64(len(g.message.noun)), 4343, 0).IntN(len(cities))] // all of a kind in one city
	a, b := 2*math.Pi/(1500+900*r.Float64()), 2*math.Pi/(1500+900*r.Float64())
	p, q := 2*math.Pi*r.Float64(), 2*math.Pi*r.Float64()
	t := float64(g.now.UnixMilli()%(1<<36)) / 1000
	stretch := 1 / math.Cos(c.lat*math.Pi/180)
	lat, lon = c.lat+radius*math.Sin(a*t+p), c.lon+radius*stretch*math.Sin(b*t+q)
	const metresPerDegree = 111_320
	north, east := radius*a*math.Cos(a*t+p)*metresPerDegree, radius*b*math.Cos(b*t+q)*metresPerDegree
	return lat, lon, math.Hypot(north, east), math.Mod(math.Atan2(east, north)*180/math.Pi+360, 360)
}

// fixedPosition is somewhere in the city of what a place is in.
func (g *maker) fixedPosition(at place) (lat, lon float64) {
	c, r := g.city(at), draw(g.thing.seed, chainAll(at.words[:len(at.words)-at.own]), 79)
	return c.lat + (r.Float64()*2-1)*radius, c.lon + (r.Float64()*2-1)*radius
}

// coordinates says whether a name is that of a coordinate, or of how something moves, and
// what it is now.
func (g *maker) coordinates(at place) (value float64, decimals int, ok bool) {
	if at.own == 0 || at.own > len(at.words) {
		return 0, 0, false
	}
	own := at.words[len(at.words)-at.own:]
	last := own[len(own)-1]
	fixed := g.message.identity == "" || at.many
	for _, w := range at.words {
		switch w {
		case "address", "store", "shop", "warehouse", "customer", "home", "branch", "delivery", "pickup", "origin", "destination", "from", "to", "station", "stop", "order":
			fixed = true
		}
	}
	is := func(words ...string) bool {
		for _, w := range words {
			if last == w {
				return true
			}
		}
		return false
	}
	latitude, longitude := is("lat", "latitude"), is("lon", "lng", "long", "longitude")
	speed := is("speed", "velocity") || len(own) > 1 && (own[len(own)-2] == "speed" || own[len(own)-2] == "velocity")
	heading := is("heading", "bearing", "course") || len(own) > 1 && (own[len(own)-2] == "heading" || own[len(own)-2] == "bearing")
	switch {
	case !latitude && !longitude && !speed && !heading:
		return 0, 0, false
	case fixed && (latitude || longitude):
		lat, lon := g.fixedPosition(at)
		if latitude {
			return lat, 6, true
		}
		return lon, 6, true
	case fixed:
		return 0, 0, false
	}
	g.sawMoving = true
	lat, lon, metres, degrees := g.position(at)
	switch {
	case latitude:
		return lat, 6, true
	case longitude:
		return lon, 6, true
	case heading:
		return degrees, 0, true
	}
	switch last {
	case "ms", "mps":
		return metres, 1, true
	case "mph":
		return metres * 2.23694, 1, true
	case "knots", "kn", "kt":
		return metres * 1.94384, 1, true
	}
	return metres * 3.6, 1, true
}

// real is a number that a name promises, between bounds. Decimals are how many digits
// behind the point it has; -1 in means that as many as the name promises.
func (g *maker) real(at place, low, high float64) (value float64, decimals int) {
	if v, decimals, ok := g.coordinates(at); ok && v >= low && v <= high {
		return v, decimals
	}
	own := at.words[max(0, len(at.words)-at.own):]
	if len(own) > 0 {
		switch own[len(own)-1] {
		case "sequence", "seq", "version", "revision", "counter", "ordinal":
			if v := float64(g.thing.step + 1); v >= low && v <= high && !at.many {
				return v, 0
			}
		case "odometer", "mileage":
			if v := math.Round((12000 + 90000*g.steady(at).Float64() + float64(g.now.Unix()%100_000_000)*0.008) * 10); v/10 >= low && v/10 <= high {
				return v / 10, 1
			}
		}
	}
	n, known := rule(numbers, at.words)
	if !known {
		n = number{1, 1000, 2, usually}
	}
	if n.high < low || n.low > high { // other ones are wanted
		n.low, n.high = low, high
		if math.IsInf(n.low, -1) || n.low < -1e15 {
			n.low = n.high - 1000
		}
		if math.IsInf(n.high, 1) || n.high > 1e15 {
			n.high = n.low + 1000
		}
	}
	n.low, n.high = max(n.low, low), min(n.high, high)
	share := 0.0
	switch n.law {
	case drifting, wandering:
		if n.law == drifting && !at.many && g.message.identity != "" && at.depth <= 4 {
			g.sawMoving = true
		}
		share = min(max(0.5+0.25*(g.steady(at).Float64()*2-1)+0.25*g.wander(at, 3*time.Minute)+0.02*g.wander(at, 5*time.Second), 0), 1)
	case freshly:
		share = math.Sqrt(g.fresh(at).Float64()) // people are kind
	case usually:
		share = math.Pow(g.steady(at).Float64(), 2)
	default:
		share = g.steady(at).Float64()
	}
	return n.low + share*(n.high-n.low), n.decimals
}

// flag is true or false, as a name makes likely.
func (g *maker) flag(at place) bool {
	likely := 0.4
	for _, w := range at.words[max(0, len(at.words)-at.own):] {
		switch w {
		case "active", "enabled", "valid", "verified", "available", "success", "successful", "online", "ok", "consent", "accepted":
			likely = 0.93
		case "test", "deleted", "cancelled", "canceled", "blocked", "error", "failed", "fraud", "suspicious", "expired", "gift", "express", "fragile", "alarm", "alert":
			likely = 0.07
		}
	}
	return g.steady(at).Float64() < likely
}

// alike makes a text of the shape of an example: other digits, and other letters where
// digits are between them.
func alike(example string, r *random) string {
	out := []rune(example)
	hexadecimal := len(out) >= 8 && strings.Trim(example, "0123456789abcdefABCDEF-") == ""
	for i, c := range out {
		switch {
		case c >= '0' && c <= '9' && !hexadecimal:
			out[i] = rune(digits[r.IntN(10)])
		case hexadecimal && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f'):
			out[i] = rune(hexText[r.IntN(16)])
		}
	}
	return string(out)
}
