"""``harness completion``: completion of commands, options, scenario files and runs in a shell."""

import click


@click.command(
    epilog="""\b
Examples:
  harness completion bash >> ~/.bashrc
  harness completion zsh >> ~/.zshrc
  harness completion fish > ~/.config/fish/completions/harness.fish"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that lets a shell complete commands, options, scenario files and runs."""
    from click.shell_completion import get_completion_class

    from harness.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None  # click knows the three that the argument allows
    made = kind(cli, {}, "harness", "_HARNESS_COMPLETE")
    # Not its `source`, which for bash starts the bash that is installed to ask for its version.
    click.echo(made.source_template % made.source_vars())
