"""What `tidings serve --demo` puts into an empty installation: some people, their chats, and two of them to be."""

from infra.demo.setting import demo_url

__all__ = ["demo_url"]
