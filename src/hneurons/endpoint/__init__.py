"""Any OpenAI-compatible endpoint: to judge, to sample, to mark answers."""

from hneurons.endpoint.account import Account, Report
from hneurons.endpoint.completion import Completion
from hneurons.endpoint.endpoint import Ask, Endpoint
from hneurons.endpoint.failing import Failure
from hneurons.endpoint.settings import EndpointSettings
from hneurons.endpoint.wire import Request

__all__ = ["Account", "Ask", "Completion", "Endpoint", "EndpointSettings", "Failure", "Report", "Request"]
