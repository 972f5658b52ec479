package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeCluster, versions 0 to 2 (KIP-700). Brokers get our addresses, the
// cluster its virtual id; controllers (KIP-919) are not part of it.

const endpointBrokers = 1

func describeCluster(x *Exchange, r kmsg.Request) (Action, error) {
	req := r.(*kmsg.DescribeClusterRequest)
	if req.Version >= 1 && req.EndpointType != endpointBrokers {
		resp := kmsg.NewPtrDescribeClusterResponse()
		resp.Version, resp.ErrorCode = req.Version, kerr.MismatchedEndpointType.Code // as a broker that is no controller says
		resp.EndpointType, resp.ControllerID = endpointBrokers, -1
		resp.ClusterAuthorizedOperations = authorizedUnknown
		return answer(resp), nil
	}
	req.IncludeFencedBrokers = false
	return Action{Upstream: req, Response: func(kr kmsg.Response) (kmsg.Response, error) {
		resp := kr.(*kmsg.DescribeClusterResponse)
		resp.Version = req.Version
		brokerTexts(resp.ErrorCode, &resp.ErrorMessage)
		resp.ClusterID = x.Grant.VirtualClusterID
		if req.IncludeClusterAuthorizedOperations {
			resp.ClusterAuthorizedOperations = x.clusterOperations()
		}
		controller := int32(-1)
		kept := resp.Brokers[:0]
		for _, b := range resp.Brokers {
			host, port, ok := x.Conn.Addresses.Advertise(b.NodeID)
			if !ok {
				continue
			}
			if b.NodeID == resp.ControllerID {
				controller = b.NodeID
			}
			b.Host, b.Port, b.Rack = host, port, nil
			kept = append(kept, b)
		}
		resp.Brokers, resp.ControllerID = kept, controller
		return resp, nil
	}}, nil
}
