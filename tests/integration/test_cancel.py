"""Clients that leave at random points: nothing of theirs stays behind."""

import random
from concurrent.futures import ThreadPoolExecutor

import grpc

from sparsed_server import Client, ShallowServer, g, short_request

REQUESTS = 300
CLIENTS = 12


def request(number):
    rng = random.Random(number)
    sampling = g.SamplingOptions(gen_length=32, steps=8, seed=number,
                                 temperature=rng.choice([0.0, 1.0]),
                                 cfg_scale=rng.choice([0.0, 0.0, 1.0]), stop_at_end=False)
    sparse = g.SparseOptions(mode=g.SPARSE_MODE_SPARSED, block_size=32)
    return g.GenerateRequest(prompt=f"Request {number}. " * rng.randint(1, 3),
                             sampling=sampling, sparse=sparse)


def leave_at_random(client, number):
    """Cancels before, after or between the events; what it saw at last."""
    rng = random.Random(number)
    call = client.stream(g.StreamGenerateRequest(request=request(number), progress=True))
    leave_after = rng.choice([0, 1, 1, 2, 2, 2, 3, 1000])
    last = "nothing"
    try:
        for seen, event in enumerate(call, 1):
            last = event.WhichOneof("event")
            if seen > leave_after:
                call.cancel()
        return last
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.CANCELLED
        return "cancelled"


def test_300_requests_that_leave_at_random_leave_nothing_behind():
    with ShallowServer("--max-running", "8", "--queue-requests", "64") as server:
        clients = [Client(server.port) for _ in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            ends = list(pool.map(lambda n: leave_at_random(clients[n % CLIENTS], n),
                                 range(REQUESTS)))
        for client in clients:
            client.close()
        assert ends.count("cancelled") > REQUESTS / 3
        assert ends.count("final") > 10
        server.wait_until_idle(30)
        assert server.metric("sparsed_mask_cache_bytes") == 0
        assert server.metric("sparsed_mask_cache_entries") == 0
        total = 'sparsed_requests_total{outcome="%s",surface="grpc"}'
        done = sum(server.metric(total % outcome)
                   for outcome in ("ok", "cancelled", "deadline_exceeded", "internal"))
        assert done == REQUESTS
        assert server.metric(total % "internal") == 0
        assert server.client.generate(short_request()).token_ids
