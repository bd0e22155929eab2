"""The ground floor: colour, the contract, engines, photographs, film. Never imports torch."""
