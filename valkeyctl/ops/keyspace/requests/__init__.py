"""Warming by requests: recorded ones go through the gateway, so that it holds their answers.

::

    send.send_requests    all of it, blocking
    source.lines          lines of a file, a pipe or a program
    line.parse_request    one line as the request that it is
    gateway.GatewayClient the one address that anything is sent to
"""
