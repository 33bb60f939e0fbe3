"""Arguments that take one of a few words."""


def check_choice(owner: str, name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises a ValueError that names the argument `name` of `owner` unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{owner}: {name} is one of {allowed}, got {value!r}")
