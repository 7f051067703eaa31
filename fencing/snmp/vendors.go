package snmp

import "fmt"

// layout is where a kind of power switch keeps its outlets.
type layout struct {
	object   string // sysObjectID
	name     string
	status   string // %d stands for the outlet, of two the first for the switch
	control  string
	names    string // table of the outlets' names
	on, off  int    // values of control
	statusOn []int  // values of status
	// statusOff, if it is set, are the only ones that mean off.
	statusOff []int
	switches  bool // outlets are SWITCH:OUTLET
	dotted    bool // an outlet is several numbers, which come behind status and control
	// statusShift and controlShift are added to the number of an outlet that
	// people use.
	statusShift, controlShift int
	second                    bool // the table of names counts by its last number but one
}

// vendor is one agent.
type vendor struct {
	agent, what, long string
	version           string // of SNMP, by default
	// layouts are the kinds that are known; one without an object holds for
	// all others.
	layouts []layout
	// ports are of a network: what is fenced runs on, but is cut off.
	ports bool
}

const outletText = "Switches an outlet of a power switch; plug is its number (SWITCH:NUMBER where there are several) or its name."

// vendors is the table.
func vendors() []vendor {
	return []vendor{
		{agent: "fence_apc_snmp", what: "power switches of APC and Tripplite", long: outletText, version: "1", layouts: apc()},
		{agent: "fence_tripplite_snmp", what: "power switches of APC and Tripplite", long: outletText, version: "1", layouts: apc()},
		{agent: "fence_eaton_snmp", what: "power switches of Eaton", long: outletText, version: "1", layouts: []layout{
			{object: ".1.3.6.1.4.1.534.6.6.6", name: "Eaton Managed ePDU", statusShift: -1, controlShift: -1, on: 1, off: 0, statusOn: []int{1}, statusOff: []int{0},
				status: ".1.3.6.1.4.1.534.6.6.6.1.2.2.1.3.%d", control: ".1.3.6.1.4.1.534.6.6.6.1.2.2.1.3.%d", names: ".1.3.6.1.4.1.534.6.6.6.1.2.2.1.1"},
			switchedEaton(".1.3.6.1.4.1.20677.1"), switchedEaton(".1.3.6.1.4.1.20677.2")}},
		{agent: "fence_ipdu", what: "iPDU power switches of IBM", long: outletText, version: "3", layouts: []layout{
			{object: ".1.3.6.1.4.1.2.6.223", name: "IBM iPDU", on: 1, off: 0, statusOn: []int{1},
				status: ".1.3.6.1.4.1.2.6.223.8.2.2.1.11.%d", control: ".1.3.6.1.4.1.2.6.223.8.2.2.1.11.%d", names: ".1.3.6.1.4.1.2.6.223.8.2.2.1.2"}}},
		{agent: "fence_emerson", what: "MPX and MPH2 power switches of Emerson", version: "1",
			long: "Switches a receptacle of a managed rack PDU; plug is its number as the device counts (BANK.RECEPTACLE.GROUP) or its name.",
			layouts: []layout{{name: "Emerson MPX", on: 1, off: 0, statusOn: []int{2}, statusOff: []int{1}, dotted: true,
				status: ".1.3.6.1.4.1.476.1.42.3.8.50.20.1.95", control: ".1.3.6.1.4.1.476.1.42.3.8.50.20.1.100", names: ".1.3.6.1.4.1.476.1.42.3.8.50.20.1.10"}}},
		{agent: "fence_ibmblade", what: "blades in an IBM BladeCenter", version: "1", long: "Switches a blade by the management module of its chassis; plug is the number of its bay.",
			layouts: []layout{{name: "BladeCenter", on: 1, off: 0, statusOn: []int{1},
				status: ".1.3.6.1.4.1.2.3.51.2.22.1.5.1.1.4.%d", control: ".1.3.6.1.4.1.2.3.51.2.22.1.6.1.1.7.%d", names: ".1.3.6.1.4.1.2.3.51.2.22.1.5.1.1.4"}}},
		{agent: "fence_intelmodular", what: "blades in an Intel Modular Server", version: "2c", long: "Switches a compute module by the management module of its chassis; plug is its number.",
			layouts: []layout{{name: "Intel Modular", on: 2, off: 3, statusOn: []int{2},
				status: ".1.3.6.1.4.1.343.2.19.1.2.10.202.1.1.6.%d", control: ".1.3.6.1.4.1.343.2.19.1.2.10.202.1.1.6.%d", names: ".1.3.6.1.4.1.343.2.19.1.2.10.202.1.1.6"}}},
		{agent: "fence_ifmib", what: "ports of network switches (IF-MIB)", version: "2c", ports: true,
			long: "Shuts down the port of a switch to which a node is connected, so that it reaches no storage; plug is the index or the name of the interface. The node runs on: use it where all that can be damaged lies behind that port.",
			layouts: []layout{{name: "IF-MIB", on: 1, off: 2, statusOn: []int{1}, statusOff: []int{2},
				status: ".1.3.6.1.2.1.2.2.1.7.%d", control: ".1.3.6.1.2.1.2.2.1.7.%d", names: ".1.3.6.1.2.1.2.2.1.2"}}},
	}
}

func switchedEaton(object string) layout {
	return layout{object: object, name: "Eaton Switched ePDU", on: 1, off: 2, statusOn: []int{1}, statusOff: []int{2},
		status: ".1.3.6.1.4.1.20677.2.6.3.%d.0", control: ".1.3.6.1.4.1.20677.2.6.2.%d.0", names: ".1.3.6.1.4.1.20677.2.6.3", second: true,
		controlShift: 1} // the first is for all outlets at once
}

func apc() []layout {
	return []layout{
		{object: ".1.3.6.1.4.1.318.1.3.4.5", name: "APC rPDU", on: 1, off: 2, statusOn: []int{1},
			status: ".1.3.6.1.4.1.318.1.1.12.3.5.1.1.4.%d", control: ".1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.%d", names: ".1.3.6.1.4.1.318.1.1.12.3.5.1.1.2"},
		{object: ".1.3.6.1.4.1.318.1.3.4.4", name: "APC MasterSwitch Plus", on: 1, off: 3, statusOn: []int{1}, switches: true,
			status: ".1.3.6.1.4.1.318.1.1.6.7.1.1.5.%d.1.%d", control: ".1.3.6.1.4.1.318.1.1.6.5.1.1.5.%d.1.%d", names: ".1.3.6.1.4.1.318.1.1.6.7.1.1.4"},
		{object: ".1.3.6.1.4.1.850.1.1.1", name: "Tripplite LX PDU", on: 2, off: 1, statusOn: []int{2},
			status: ".1.3.6.1.4.1.850.1.1.3.2.3.3.1.1.4.1.%d", control: ".1.3.6.1.4.1.850.1.1.3.2.3.3.1.1.6.1.%d", names: ".1.3.6.1.4.1.850.1.1.3.2.3.3.1.1.2.1"},
		{object: ".1.3.6.1.4.1.850.1", name: "Tripplite PDU", on: 2, off: 1, statusOn: []int{2},
			status: ".1.3.6.1.4.1.850.10.2.3.5.1.2.1.%d", control: ".1.3.6.1.4.1.850.10.2.3.5.1.4.1.%d", names: ".1.3.6.1.4.1.850.10.2.3.5.1.5"},
		{object: ".1.3.6.1.4.1.318.1.3.4.6", name: "APC MasterSwitch 6", on: 1, off: 2, statusOn: []int{1},
			status: ".1.3.6.1.4.1.318.1.1.4.4.2.1.3.%d", control: ".1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.%d", names: ".1.3.6.1.4.1.318.1.1.4.4.2.1.4"},
		{name: "APC MasterSwitch", on: 1, off: 2, statusOn: []int{1},
			status: ".1.3.6.1.4.1.318.1.1.4.4.2.1.3.%d", control: ".1.3.6.1.4.1.318.1.1.4.4.2.1.3.%d", names: ".1.3.6.1.4.1.318.1.1.4.4.2.1.4"},
	}
}

func (v vendor) layoutOf(object string) (layout, bool) {
	for _, l := range v.layouts {
		if l.object == object || l.object == "" {
			return l, true
		}
	}
	return layout{}, false
}

// outlet is a number, with that of its switch where there are several.
type outlet struct {
	bank, number int
	dotted       string
}

func (l layout) oid(format string, o outlet, shift int) string {
	if l.dotted {
		return format + "." + o.dotted
	}
	if l.switches {
		return fmt.Sprintf(format, o.bank, o.number+shift)
	}
	return fmt.Sprintf(format, o.number+shift)
}
