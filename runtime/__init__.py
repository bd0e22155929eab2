"""The ground floor: colour, the model contract, engines, photographs and film. Never imports torch."""
